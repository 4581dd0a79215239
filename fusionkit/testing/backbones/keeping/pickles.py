"""Whether a backbone can be pickled, as worker processes and whole-module savers do."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit.testing.backbones.keeping.answers import (
    difference,
    eval_with_gradients,
    require_steady,
    ties,
)
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check
from fusionkit.testing.copied import pickled_and_back

__all__ = ["pickle_round_trip"]


@check(
    "define its classes and functions at the top level of a module, keep no lambda, local function "
    "or open file as an attribute, and leave what cannot be pickled out in __getstate__"
)
def pickle_round_trip(subject: BackboneSubject) -> Iterator[Finding]:
    """A pickled backbone comes back equal, after use too."""
    used = subject.copy()
    x = subject.example()
    eval_with_gradients(subject, used, x)
    back = pickled_and_back(used)
    if type(back) is not type(used):
        yield Finding(
            f"pickle gave back {type(back).__name__} for {type(used).__name__}",
            "leave out __reduce__; an nn.Module pickles itself",
        )
        return
    if ties(back) != ties(subject.pristine):
        yield Finding(
            "tied parameters are not tied after a pickle round trip",
            "leave out __setstate__; torch's own keeps ties",
        )
    told = difference(subject.run(back, x), subject.answer)
    if told:
        require_steady(subject)
        yield Finding(
            f"after a pickle round trip: {told}",
            "let __getstate__ leave out only what is worked out again, and __setstate__ restore "
            "the rest",
        )
