"""How to choose: what is written by hand at the top of the page."""

from __future__ import annotations

__all__ = ["CHOICES", "HOW_TO_CHOOSE", "INTRODUCTION"]

INTRODUCTION = """\
# The fusion heads

Every head that comes with fusionkit: what it computes, where it comes from, what it costs and when
to take it. A head is named in a recipe or by `fk.Head("name", option=...)`; `fusionkit list --kind
head` lists them, those of your plugins too, and `fusionkit info NAME` says of one what stands here.

This page and its drawings are written from the heads themselves by
`python tests/docs/write_heads.py`; a test says when it is old."""

HOW_TO_CHOOSE = """\
## How to choose

Measure first: each branch alone, then the plainest way to join them. A head that joins vectors has
to be paid for in samples, and a weak branch beside a strong one often makes the answer worse than
the strong branch alone gives it. To try another head is to write another name:

```python
import fusionkit as fk
import torch

branches = {"photo": fk.Branch("timm/resnet18"), "depth": fk.Branch("timm/resnet18", in_channels=1)}
joined = fk.compose(branches, head=fk.Head("concat", hidden=512), num_classes=10)
gated = fk.compose(branches, head="gated_multimodal", num_classes=10)
optimizer = torch.optim.AdamW(gated.param_groups(lr=3e-4))
```

Heads that are trained by gradient differ in the learning rate that they want, and at one rate for
all the comparison is of rates. On frozen vectors a linear head takes 1e-3 to 3e-3; products, heads
on maps and transformers a third to a tenth of it. Try 3e-3, 1e-3 and 3e-4 on samples held out
before you say of a head that it does not help, as `benchmarks/fusion_table.py` does."""

CHOICES = (
    (
        "you do not know yet, or have few labels, or a strong branch and a weak one",
        ("adaptive",),
        "`fk.fit_head` weighs branches by samples held out from their classifiers, so that it is "
        "meant to be no worse than the best branch",
    ),
    (
        "each branch keeps its stock classifier, and nothing is to be trained",
        ("mean_probabilities", "mean_log_probabilities", "mean_logits"),
        "the first rewards what most branches find likely, the second what no branch rules out",
    ),
    (
        "the classifiers are good, but one is surer of itself than it should be",
        ("mean_log_probabilities", "greedy_selection", "stacking"),
        "fitted in seconds to scores on held-out samples",
    ),
    (
        "every branch is good, and samples are many",
        ("concat", "project_concat"),
        "the plain choice, which others have to beat",
    ),
    (
        "which branch counts differs from sample to sample",
        ("attention_gate", "gated_multimodal", "squeeze_gate"),
        "a gate is computed for each sample",
    ),
    (
        "the answer lies in how the branches go together, as a question with its picture",
        ("mfb", "mutan", "block", "mlb", "low_rank_fusion", "compact_bilinear"),
        "products of components; begin with a small rank",
    ),
    (
        "one branch says how the other is to be read",
        ("film", "multiplicative_interaction"),
        "a condition scales and shifts the other's features",
    ),
    (
        "the branches see the same places: two streams, two spectra, depth",
        (
            "two_stream_maps",
            "mmtm",
            "attentional_fusion",
            "pyramid_fusion",
            "multi_level_fusion",
        ),
        "maps are joined place by place, before pooling",
    ),
    (
        "the branches see different places or times that belong together",
        (
            "fusion_transformer",
            "cross_attention",
            "cross_class_attention",
            "bottleneck_transformer",
        ),
        "tokens attend to each other; the dearest, and for many samples",
    ),
    (
        "inputs may be missing",
        ("embrace", "deep_sets", "mean_vectors", "adaptive"),
        "with `Branch(branch_dropout=...)` in training; the tables below say which heads refuse",
    ),
    (
        "branches are many, or their number changes",
        ("deep_sets", "mean_vectors", "attention_gate", "fusion_transformer"),
        "their cost grows with the number of branches, and not with its powers",
    ),
    (
        "one branch learns so fast that the others are left behind",
        ("auxiliary",),
        "with a loss on each branch, gradient modulation (OGM-GE) or gradient blending: "
        "[balanced training](balanced-training.md)",
    ),
)
"""Situations, the heads for them in the order in which to try them, and why."""
