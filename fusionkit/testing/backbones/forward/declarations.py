"""Whether what a backbone says of itself agrees with itself."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit.preprocessing import Preprocessing
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check

__all__ = ["preprocessing_fits"]


@check("set preprocessing to a fusionkit.Preprocessing, or leave it out", on_meta=True)
def preprocessing_fits(subject: BackboneSubject) -> Iterator[Finding]:
    """The preprocessing gives what the trunk takes: as many channels, and a size it allows."""
    backbone = subject.pristine
    preprocessing: object = backbone.preprocessing
    if preprocessing is None:
        raise NotApplicableError("it declares no preprocessing")
    if not isinstance(preprocessing, Preprocessing):
        yield Finding(
            f"preprocessing is {type(preprocessing).__name__}",
            "write fusionkit.Preprocessing(size=..., mean=..., std=...)",
        )
        return
    if len(preprocessing.mean) != backbone.in_channels:
        yield Finding(
            f"there are {len(preprocessing.mean)} means and deviations for "
            f"{backbone.in_channels} channels",
            "write preprocessing.for_channels(in_channels)",
        )
    size = preprocessing.size
    if backbone.fixed_size is not None and size != tuple(backbone.fixed_size):
        yield Finding(
            f"it prepares images of {size[0]} x {size[1]} pixels, but fixed_size is "
            f"{backbone.fixed_size}",
            "give both the same (height, width)",
        )
    elif any(side % backbone.size_multiple for side in size):
        yield Finding(
            f"it prepares images of {size[0]} x {size[1]} pixels, which are no multiples of "
            f"size_multiple={backbone.size_multiple}",
            "give a size that the trunk takes",
        )
