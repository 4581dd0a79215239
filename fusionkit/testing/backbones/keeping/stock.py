"""Whether the trunk's keys are those of its provider's own checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from fusionkit.errors import did_you_mean
from fusionkit.model.anatomy import trunk_of
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check
from fusionkit.testing.words import some

__all__ = ["keys_are_stock_keys"]


@check("set trunk_path to the submodule whose state dict a stock checkpoint fits", on_meta=True)
def keys_are_stock_keys(subject: BackboneSubject) -> Iterator[Finding]:
    """The trunk has the keys of a stock checkpoint, less those that ``dropped_keys`` says.

    Without ``stock_keys``, the trunk that keeps its provider's classifier stands for it.
    """
    backbone = subject.pristine
    ours = list(trunk_of(backbone).state_dict())
    stock = _stock_keys(subject)
    renamed = [name for name in ours if name not in stock]
    if renamed:
        yield Finding(
            f"{len(renamed)} of the trunk's {len(ours)} keys are in no stock checkpoint: "
            f"{some(renamed)}.{did_you_mean(renamed[0], stock)}",
            "keep the provider's module as it is, as a submodule that trunk_path names",
        )
    left = [
        name
        for name in stock - set(ours)
        if not any(fnmatchcase(name, glob) for glob in backbone.dropped_keys)
    ]
    if left:
        yield Finding(
            f"a stock checkpoint has {len(left)} keys that the trunk does not have: "
            f"{some(sorted(left))}",
            "add globs for what the trunk leaves out on purpose to dropped_keys",
        )


def _stock_keys(subject: BackboneSubject) -> set[str]:
    if subject.stock_keys is not None:
        given = subject.stock_keys
        return set(given(subject.pristine) if callable(given) else given)
    built = subject.build_classifying(subject.build_without_data)
    if built is not None:
        return set(trunk_of(built).state_dict())
    raise NotApplicableError(
        "nothing is known of stock checkpoints; give stock_keys=, the keys of one"
    )
