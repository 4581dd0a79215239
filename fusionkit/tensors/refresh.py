"""Makes a module forget what it worked out from the values that it had before."""

from __future__ import annotations

from torch import nn

__all__ = ["drop_old_tables"]


def drop_old_tables(module: nn.Module) -> None:
    """Puts every module into train mode, into eval mode, and back into the mode that it was in.

    Some trunks keep tables in eval mode, such as biases by position, and drop them only when
    the mode is set. Each module is asked itself, since one above it may keep it in eval mode;
    of those that do nothing but note the mode, or whose class says ``keeps_no_tables``, none is.
    """
    were = [(part, part.training) for part in module.modules()]
    for mode in (True, False):
        for part, _ in were:
            if _does_more(part):
                part.train(mode)
    for part, was in were:  # from the outside in, since setting one sets all below it
        if part.training != was:
            part.train(was)


def _does_more(part: nn.Module) -> bool:
    if getattr(type(part), "keeps_no_tables", False):
        return False
    return type(part).train is not nn.Module.train or "train" in vars(part)
