"""What a head does in eval mode, in train mode, and to a batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fusionkit.errors import AssemblyError, DataError
from fusionkit.testing.check import Check, Finding, NotApplicableError
from fusionkit.testing.heads.each import ROUNDING, check_each, distance, mix, modes, same
from fusionkit.testing.heads.learning import clone_features
from fusionkit.testing.heads.subject import HeadCase, HeadSubject, misfit
from fusionkit.testing.made import parameters_made, tell_made
from fusionkit.testing.registered import tell_left_by_inference
from fusionkit.testing.seed import shared_states
from fusionkit.testing.words import some

__all__ = ["CHECKS"]

SCALES = (1.0, 3.0, 10.0, 30.0)
"""Of the features: scores of some are beyond 0 and 1, whatever is seen at one."""


@check_each("make the same answer come out of the same features in eval mode")
def eval_is_deterministic(case: HeadCase) -> Iterator[Finding]:
    """In eval mode the same features give the same bits, and no random number is drawn."""
    head = case.build()
    before = shared_states()
    one = case.run(head, case.features())
    drawn = shared_states() != before
    other = case.run(head, case.features())
    if not torch.equal(one, other):
        yield Finding(
            f"two calls differ by {distance(other, one):.2g} of the answer's size",
            "make no layer and draw no number in forward; use nn.Dropout, which eval() turns "
            "off, or F.dropout(x, p, self.training)",
        )
    elif drawn:
        yield Finding(
            "forward draws random numbers in eval mode",
            "draw only if self.training, and make layers in __init__",
        )


@check_each("make all weights in __init__")
def forward_makes_no_weights(case: HeadCase) -> Iterator[Finding]:
    """A forward pass adds and exchanges no weights, and in eval mode moves no value."""
    for mode in modes(case.build()):
        head = case.build().train(mode)
        parts = {name: id(value) for name, value in head.named_parameters()}
        state = {name: value.clone() for name, value in head.state_dict().items()}
        modules = {name: id(value) for name, value in head.named_modules()}
        with parameters_made(head) as made:
            case.run(head, case.features())
        now = {name: id(value) for name, value in head.named_parameters()}
        now_modules = {name: id(value) for name, value in head.named_modules()}
        if now != parts or now_modules != modules or head.state_dict().keys() != state.keys():
            new = sorted(
                {name for name, value in now.items() if parts.get(name) != value}
                | {name for name, value in now_modules.items() if modules.get(name) != value}
            )
            yield Finding(
                f"forward made or exchanged {some(new) or 'weights'}",
                "make it in __init__, from inputs[name].embed_dim and .levels: an optimizer "
                "made before never sees it, and a saved model has no place for it",
            )
            return
        if made:
            yield tell_made(made)
            return
        moved = [name for name, value in head.state_dict().items() if not same(value, state[name])]
        if moved and not mode:
            yield Finding(
                f"forward changed {some(moved)} in eval mode",
                "change buffers only if self.training",
            )


@check_each("make each row of the answer depend on its own row of the features")
def rows_are_independent(case: HeadCase) -> Iterator[Finding]:
    """In eval mode a sample's answer does not depend on what else is in the batch."""
    head = case.build()
    expected = case.run(head, case.features())[:1]
    features, others = case.features(), case.features(seed=1, scale=3.0)
    mixed = {name: mix(mine, others[name]) for name, mine in features.items()}
    gap = distance(case.run(head, mixed)[:1], expected)
    if gap > ROUNDING:
        yield Finding(
            f"the first sample's answer changes by {gap:.2g} of its size with its batch mates",
            "normalise within a sample (dim=-1), never over dim=0; or with nn.BatchNorm1d, which "
            "uses its own statistics in eval mode, and refuse one sample in training with a "
            "fusionkit.DataError",
        )
        return
    turned = pytree.tree_map_only(Tensor, lambda value: value.flip(0), case.features())
    gap = distance(case.run(head, turned).flip(0), case.run(head, case.features()))
    if gap > ROUNDING:
        yield Finding(
            f"answers change by {gap:.2g} of their size with the order of the batch",
            "the batch is the first axis: say batch_first=True where a layer asks, and give no "
            "sample what others were given before it",
        )


@check_each("take a batch of one, or refuse it with fusionkit.DataError")
def batch_of_one(case: HeadCase) -> Iterator[Finding]:
    """A single sample works in eval mode, and works or is a ``DataError`` in train mode."""
    classes = case.situation.num_classes
    head = case.build()
    one: object = case.run(head, case.features(batch=1))
    fault = misfit(one, 1, classes)
    if fault is not None:
        yield Finding(f"{fault.what}, for one sample in eval mode", fault.todo)
    elif isinstance(one, Tensor):
        gap = distance(one, case.run(head, case.features())[:1])
        if gap > ROUNDING:
            yield Finding(
                f"one sample alone has another answer than in a batch, by {gap:.2g} of its size",
                "squeeze no dimension without naming it, and normalise within a sample",
            )
    if not head.trains:
        return
    try:
        trained: object = case.run(case.build().train(), case.features(batch=1))
    except DataError:
        return
    except Exception as error:  # batch norm raises ValueError, others what they like
        yield Finding(
            f"one sample in train mode fails: {type(error).__name__}: {error!s:.200}",
            "normalise within a sample (F.layer_norm), or raise fusionkit.DataError that says "
            "to train with larger batches",
        )
        return
    fault = misfit(trained, 1, classes)
    if fault is not None:
        yield Finding(f"{fault.what}, for one sample in train mode", fault.todo)


@check_each("give scores before any softmax or sigmoid")
def gives_scores(case: HeadCase) -> Iterator[Finding]:
    """The answer is what ``cross_entropy`` takes: scores or logarithms, and no probabilities."""
    head = case.build()
    if not head.trains or not head(clone_features(case.features(requires_grad=True))).requires_grad:
        raise NotApplicableError("no loss is taken of its answer")
    for mode in (False, True):
        head = case.build().train(mode)
        draws = [
            case.run(head, case.features(seed=seed, scale=scale))
            for seed, scale in enumerate(SCALES)
        ]
        answer = torch.cat(draws)
        if answer.shape[1] > 1 and bool(((answer >= 0) & (answer <= 1)).all()):
            yield Finding(
                f"in {'train' if mode else 'eval'} mode all scores lie between 0 and 1, as "
                "probabilities do",
                "give scores before any softmax or sigmoid: cross_entropy takes their softmax, and "
                "would take it twice; of probabilities give the logarithm",
            )
            return


@check_each("make forward work in train mode, or say trains = False")
def train_mode_works(case: HeadCase) -> Iterator[Finding]:
    """In train mode the answer is finite and "b k", and ``eval()`` leads back."""
    head = case.build()
    if not head.trains:
        raise NotApplicableError("it says that gradients cannot train it")
    with torch.inference_mode():  # as predict does
        expected = case.run(head, case.features())
    if _learns_statistics(head):
        expected = torch.empty(0)
    if left := list(tell_left_by_inference(lambda: head.train()(case.features()))):
        yield from left
        return
    fault = misfit(case.run(head.train(), case.features()), 4, case.situation.num_classes)
    if fault is not None:
        yield Finding(f"{fault.what}, in train mode", fault.todo)
    back = case.run(head.eval(), case.features())
    if expected.numel() and not torch.equal(back, expected):
        yield Finding(
            "after train() and eval() the answer is another",
            "keep nothing of a training pass but moving statistics in buffers",
        )


@check_each("raise fusionkit.AssemblyError in train mode where trains = False")
def refuses_to_train(case: HeadCase) -> Iterator[Finding]:
    """A head that says ``trains = False`` refuses to run in train mode, and says so."""
    head = case.build()
    if head.trains:
        raise NotApplicableError("it says that gradients can train it")
    todo = (
        "raise fusionkit.AssemblyError if self.training, with what to train under instead, or "
        "leave trains True"
    )
    try:
        case.run(head.train(), case.features())
    except AssemblyError as error:
        if not str(error):
            yield Finding("in train mode it refuses without a word", todo)
        return
    except Exception as error:  # a refusal that nobody can tell from a fault
        yield Finding(f"in train mode: {type(error).__name__}: {error!s:.200}", todo)
        return
    yield Finding("it says trains = False, and answers in train mode all the same", todo)


def _learns_statistics(head: nn.Module) -> bool:
    return any(True for _ in head.buffers())


CHECKS: tuple[Check[HeadSubject], ...] = (
    eval_is_deterministic,
    forward_makes_no_weights,
    rows_are_independent,
    batch_of_one,
    gives_scores,
    train_mode_works,
    refuses_to_train,
)
