"""Whether all that a head should learn is known to an optimizer, and learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils import _pytree as pytree

from fusionkit.features import Features
from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError, check
from fusionkit.testing.heads.each import check_each, has_fit, own_scores, same, tensors
from fusionkit.testing.heads.subject import HeadCase, HeadSubject
from fusionkit.testing.inputs import moved
from fusionkit.testing.registered import tell_left_on_the_cpu, tell_unregistered
from fusionkit.testing.seed import set_seed
from fusionkit.testing.words import some

__all__ = ["CHECKS", "backward", "clone_features"]

DRAWS = 3
RATE = 0.1
STEPS = 5
FEW = 3
"""A buffer of so few different values (signs, ones) is a code and no weight."""


@check_each("register every tensor and module")
def everything_is_registered(case: HeadCase) -> Iterator[Finding]:
    """Every tensor is a parameter or a buffer, or made where the features are; so are modules."""
    found = list(tell_unregistered(case.build()))
    yield from found or tell_left_on_the_cpu(lambda: _run_on_meta(case))


def _run_on_meta(case: HeadCase) -> None:
    head = case.build()
    case.run(head, case.features())  # what is kept of this pass must not be used
    there = moved(case.features(), "meta")
    with torch.no_grad():
        head.to("meta")(there)
        own_scores(head, there)


@check_each("make what is drawn at random an nn.Parameter")
def random_numbers_learn(case: HeadCase) -> Iterator[Finding]:
    """What is drawn at random when it is built learns, unless it is a code of few values."""
    set_seed(1)
    one = case.make(dict(case.inputs), num_classes=case.situation.num_classes)
    set_seed(2)
    other = case.make(dict(case.inputs), num_classes=case.situation.num_classes)
    fitted = not one.trains or has_fit(one)  # sets what gradients do not
    theirs = dict(_named_tensors(other))
    for name, value in _named_tensors(one):
        twin = theirs.get(name)
        learns = value.requires_grad or (fitted and isinstance(value, nn.Parameter))
        if learns or not value.is_floating_point() or "parametrizations" in name.split("."):
            continue
        if twin is None or value.shape != twin.shape or same(value, twin):
            continue
        if len(torch.unique(value)) > FEW:
            yield Finding(
                f"{name} holds random numbers, which never learn",
                "make it an nn.Parameter that requires gradients; a projection that stays random "
                "on purpose is told to the kit with expected_failures",
            )


def _named_tensors(head: FusionHead) -> Iterator[tuple[str, Tensor]]:
    yield from head.named_parameters()
    yield from head.named_buffers()


@check("make every parameter take part in the answer")
def every_parameter_learns(subject: HeadSubject) -> Iterator[Finding]:
    """Every parameter gets a gradient, one that is not zero in some set of branches at least."""
    alive: set[str] = set()
    dead: dict[str, str] = {}
    counted = 0
    for case in subject.cases:
        set_seed(0)
        head = case.build().train()
        if not head.trains:
            continue
        learning = {name: value for name, value in head.named_parameters() if value.requires_grad}
        if not learning:
            continue
        counted += 1
        missing = _learn(case, head, learning, alive, dead)
        if missing:
            yield Finding(
                f"{some(missing)} got no gradient (with {case.title})",
                "use every parameter in forward, without detach(), .data or no_grad(), or do not "
                "make it: data-parallel training fails on what is never used",
            )
            return
    for name, title in dead.items():
        if name not in alive:
            yield Finding(
                f"the gradient of {name} is always zero (with {title})",
                "let it take part in the answer; behind a softmax over one branch it cannot",
            )
    if not counted:
        raise NotApplicableError("it has nothing to train")


def _learn(
    case: HeadCase,
    head: FusionHead,
    learning: Mapping[str, nn.Parameter],
    alive: set[str],
    dead: dict[str, str],
) -> list[str]:
    """Sorts parameters by whether gradients move them, and gives those that have none at all."""
    moved: set[str] = set()
    reached: set[str] = set()
    for seed in range(DRAWS):
        answer = head(case.features(batch=8, seed=seed))
        if not answer.requires_grad:
            return sorted(learning)
        backward(answer, seed=seed)
        _note_gradients(learning, reached, moved)
    beside = {name: value for name, value in learning.items() if name not in reached}
    for seed in range(DRAWS if beside else 0):  # learned by a loss on what each branch says alone
        backward(*own_scores(head, case.features(batch=8, seed=seed)).values(), seed=seed)
        _note_gradients(beside, reached, moved)
    alive |= moved
    for name in reached - moved:
        dead.setdefault(name, case.title)
    return sorted(learning.keys() - reached)


def _note_gradients(
    learning: Mapping[str, nn.Parameter], reached: set[str], moved: set[str]
) -> None:
    """Notes which parameters have a gradient, and which one that is not zero, and drops them."""
    for name, value in learning.items():
        if value.grad is not None:
            reached.add(name)
            if _is_moved(value):
                moved.add(name)
            value.grad = None


def backward(*answers: Tensor, seed: int = 0) -> None:
    """Runs backward from a loss that depends on every score of every row that has a gradient."""
    losses = [_loss(answer.float(), seed) for answer in answers if answer.requires_grad]
    if losses:
        torch.autograd.backward(torch.stack(losses).sum())


def _loss(answer: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(answer.shape[1], answer.shape[:1], generator=generator)
    weights = torch.randn(answer.shape, generator=generator)
    return F.cross_entropy(answer, targets) + (answer * weights).mean()


def _is_moved(leaf: Tensor) -> bool:
    """Tells whether a gradient came that is not zero everywhere."""
    return leaf.grad is not None and bool((leaf.grad != 0).any())


@check("leave one factor of a product as torch makes it, or start it at one")
def learns_from_its_first_weights(subject: HeadSubject) -> Iterator[Finding]:
    """With the weights that it is built with, what can learn begins to move in a few steps."""
    still: dict[str, str] = {}
    begun: set[str] = set()
    for case in subject.cases:
        able = _begun(case, case.build(), 1)
        set_seed(0)
        head = case.make(dict(case.inputs), num_classes=case.situation.num_classes)
        now = _begun(case, head, STEPS)
        begun |= now
        for name in able - now:
            still.setdefault(name, case.title)
    for name, title in still.items():
        if name not in begun:
            yield Finding(
                f"{name} stays as it is built: in {STEPS} steps its gradient is zero (with "
                f"{title})",
                "where two factors both begin at zero, neither has a gradient: begin one of them "
                "otherwise",
            )


def _begun(case: HeadCase, head: FusionHead, steps: int) -> set[str]:
    """Gives the parameters that had a gradient in one of the first steps."""
    learning = {name: value for name, value in head.named_parameters() if value.requires_grad}
    begun: set[str] = set()
    if not head.trains or not learning:
        return begun
    head.train()
    optimizer = torch.optim.SGD(learning.values(), lr=RATE)
    for seed in range(steps):
        features = case.features(batch=8, seed=seed)
        backward(head(features), *own_scores(head, features).values(), seed=seed)
        begun |= {name for name, value in learning.items() if _is_moved(value)}
        optimizer.step()
        optimizer.zero_grad()
    return begun


@check_each("make gradients finite")
def gradients_are_finite(case: HeadCase) -> Iterator[Finding]:
    """No gradient of a parameter or of the features is NaN or infinite."""
    head = case.build()
    features = case.features(requires_grad=True)
    if not head.trains:
        raise NotApplicableError("it says that gradients cannot train it")
    head.train()
    answer = head(clone_features(features))  # a leaf cannot be changed in place, a copy can
    if not answer.requires_grad:
        raise NotApplicableError("the answer has no gradient")
    backward(answer)
    yield from unhealthy_gradients(head, features)


def clone_features(features: Mapping[str, Features]) -> dict[str, Features]:
    """Gives copies through which gradients flow."""
    copies: dict[str, Features] = pytree.tree_map_only(Tensor, Tensor.clone, dict(features))
    return copies


def unhealthy_gradients(head: FusionHead, features: Mapping[str, Features]) -> Iterator[Finding]:
    """Gives a finding for the gradients that are not finite."""
    bad = [
        name
        for name, value in head.named_parameters()
        if value.grad is not None and not bool(value.grad.isfinite().all())
    ]
    for name, each in features.items():
        leaves = tensors(each)
        if any(leaf.grad is not None and not bool(leaf.grad.isfinite().all()) for leaf in leaves):
            bad.append(f"the features of {name!r}")
    if bad:
        yield Finding(
            f"the gradient of {some(bad)} is NaN or infinite",
            "add an eps inside of sqrt, log and quotients; use F.normalize, log_softmax and "
            "logsumexp",
        )


CHECKS: tuple[Check[HeadSubject], ...] = (
    everything_is_registered,
    random_numbers_learn,
    every_parameter_learns,
    learns_from_its_first_weights,
    gradients_are_finite,
)
