"""Whether a backbone computes what its provider's own model computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fusionkit.testing.backbones.forward.compare import differences
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, NotApplicableError, check

__all__ = ["equals_the_providers_model"]


@check("make reference(backbone, x) give fusionkit.Features of the provider's own model")
def equals_the_providers_model(subject: BackboneSubject) -> Iterator[Finding]:
    """With the same parameters and input it gives what the provider's own model gives."""
    if subject.reference is None:
        raise NotApplicableError("there is no reference to compare with")
    require_steady(subject)
    try:
        backbone = subject.copy_classifying()
    except NotApplicableError:
        backbone = subject.copy()
    reads = replace(subject.reads, logits=backbone.num_classes is not None)
    x = subject.example()
    answer = subject.run(backbone, x, reads)
    for what in differences(answer, subject.reference(backbone, x), reads):
        yield Finding(
            f"compared with the provider's own model, {what}",
            "run the provider's own forward pass, pooling, norms and all, and take the features "
            "out of it",
        )
