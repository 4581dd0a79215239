"""What is compared: each branch alone, and heads, all on the same frozen features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import fusionkit as fk

STEPS, RATE, DECAY = 150, 3e-3, 0.05
DEFAULT = (
    "adaptive", "concat", "greedy_selection", "mean_log_probabilities", "mean_probabilities",
    "stacking",
)  # fmt: skip


class UnsuitedError(Exception):
    """A head that has no line in the table, and why."""


def build(name: str, vectors: Mapping[str, Tensor], classes: int, seed: int) -> fk.FusionHead:
    """Gives a head for branches of which there are vectors only.

    Raises:
        UnsuitedError: it wants something else.
    """
    inputs = {branch: fk.HeadInput(embed_dim=each.shape[1]) for branch, each in vectors.items()}
    torch.manual_seed(seed)
    try:
        head = fk.Catalog.installed().head(name).factory(inputs, num_classes=classes)
    except fk.FusionKitError as error:
        raise UnsuitedError(str(error)) from error
    reads = head.reads if isinstance(head.reads, Mapping) else dict.fromkeys(inputs, head.reads)
    if any(each not in ("vector", fk.Reads(vector=True)) for each in reads.values()):
        raise UnsuitedError("it reads more than vectors")
    return head


def learn(
    name: str, vectors: Mapping[str, Tensor], labels: Tensor, classes: int, seed: int
) -> fk.FusionHead:
    """Gives a head that was fitted, or where it cannot be, trained by gradient.

    All that are trained have the same budget: full batches, AdamW, a cosine.
    """
    head = build(name, vectors, classes, seed).eval()
    features = {branch: fk.Features(vector=each) for branch, each in vectors.items()}
    try:
        with torch.no_grad():
            head.fit(features, labels)
        return head
    except fk.AssemblyError:  # it has nothing to fit
        pass
    learning = [each for each in head.parameters() if each.requires_grad]
    if not head.trains or not learning:
        raise UnsuitedError("it can neither be fitted nor trained on vectors")
    optimizer = torch.optim.AdamW(learning, lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    head.train()
    for _ in range(STEPS):
        loss = cross_entropy(head(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head.eval()


@torch.no_grad()
def judge(head: fk.FusionHead, vectors: Mapping[str, Tensor], labels: Tensor) -> float:
    """Gives the share that it gets right."""
    answer = head({branch: fk.Features(vector=each) for branch, each in vectors.items()})
    return (answer.argmax(1) == labels).float().mean().item()
