"""Makes a module forget what it worked out from the values that it had before."""

from __future__ import annotations

from torch import nn

__all__ = ["drop_old_tables"]


def drop_old_tables(module: nn.Module) -> None:
    """Puts every module into train mode, into eval mode, and back into the mode that it was in.

    Some trunks keep tables in eval mode, such as biases by position, and drop them only when
    the mode is set. Each module is asked itself, since one above it may keep it in eval mode.
    """
    were = [(part, part.training) for part in module.modules()]
    for mode in (True, False):
        for part, _ in were:
            part.train(mode)
    for part, was in were:  # from the outside in, since setting one sets all below it
        if part.training != was:
            part.train(was)
