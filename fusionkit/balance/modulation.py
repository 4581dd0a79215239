"""``OGMGE``: the gradients of the branch that leads are made smaller, so that others can follow."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, Literal, final

import torch
from torch import Tensor

from fusionkit.balance.lead import add_confidences, slow_leaders
from fusionkit.balance.weights import check_branches
from fusionkit.errors import PolicyError
from fusionkit.model.fused import FusedModel
from fusionkit.numbers import is_count, is_number
from fusionkit.processes import in_group

__all__ = ["OGMGE"]


@final
class OGMGE:
    """On-the-fly gradient modulation with generalisation enhancement (arXiv:2203.15332).

    With s_i the sum over the batch of the probability that branch i, by itself, gives to the
    true class, a branch leads by r_i = s_i / mean_{j≠i} s_j. Before the optimizer's step, the
    gradients of branch i are multiplied by k_i = 1 - tanh(alpha r_i) where r_i > 1, and by 1
    elsewhere; then noise of the size of the gradient itself is added to each, N(0, std(g)²)
    with the standard deviation over one parameter's elements. For two branches this is the
    paper's; what more branches are compared with is a choice.

    Example::

        modulation = fusionkit.balance.OGMGE(model, alpha=0.3, epochs=(0, 50))
        scores = fusionkit.balance.score(model, images)
        cross_entropy(scores.fused, labels).backward()
        modulation.observe(scores.branches, labels)
        modulation.modulate()
        optimizer.step()

    With accumulated gradients, ``observe`` every part and ``modulate`` once before the step.
    Under AMP it may come before or after ``scaler.unscale_``, since all is proportional to the
    gradients; clip them after it. An optimizer that divides gradients by their own size, as Adam
    does, undoes a constant factor: the paper's is SGD with momentum.

    In several processes (``torch.distributed``) the probabilities are summed over all of them
    and the noise is the same everywhere, so that the replicas stay equal; each process has to
    call ``modulate`` as often as the others, with the same seed.

    Args:
        model: its branches' parameters are modulated. The head's are not, nor are frozen ones.
        alpha: how strongly, positive; the paper takes 0.1 to 0.8 by data set.
        noise: whether to add the noise (GE); without it, it is the paper's OGM.
        epochs: the first epoch in which it acts, and the first in which it no longer does, by
            ``model.set_epoch``; by default it always does.
        against: what a branch is compared with: the ``"mean"`` of the others, so that several may
            lead, or their ``"max"``, so that only one can.
        seed: of the noise.

    Raises:
        PolicyError: an argument is wrong, or there is only one branch.
    """

    def __init__(
        self,
        model: FusedModel,
        *,
        alpha: float = 0.3,
        noise: bool = True,
        epochs: tuple[int, int] | None = None,
        against: Literal["mean", "max"] = "mean",
        seed: int = 0,
    ) -> None:
        if len(model.branches) < 2:
            raise PolicyError(
                f"the model has one branch, {next(iter(model.branches))!r}, and gradient "
                "modulation compares branches; leave it out"
            )
        if not is_number(alpha) or not 0 < alpha < math.inf:
            raise PolicyError(f"OGMGE: alpha is a positive number, got {alpha!r:.80}")
        if against not in ("mean", "max"):
            raise PolicyError(f"OGMGE: against is 'mean' or 'max', got {against!r:.80}")
        if epochs is not None:
            _check_epochs(epochs)
        if not is_count(seed, 0):
            raise PolicyError(f"OGMGE: seed is a whole number, at least 0, got {seed!r:.80}")
        self.model = model
        self.alpha = alpha
        self.noise = noise
        self.epochs = epochs
        self.against: Literal["mean", "max"] = against
        self.seed = seed
        self.steps = 0
        self._confidences: Tensor | None = None

    @property
    def active(self) -> bool:
        """Whether it acts in the model's epoch."""
        return self.epochs is None or self.epochs[0] <= self.model.epoch < self.epochs[1]

    @torch.no_grad()
    def observe(self, scores: Mapping[str, Tensor], labels: Tensor) -> None:
        """Adds up what each branch gives to the true class, until the next ``modulate``.

        Args:
            scores: what each branch says by itself, "b k" by branch, before any softmax.
            labels: whole numbers "b", or the probability of each class, "b k".

        Raises:
            DataError: the labels are neither.
            PolicyError: these are not the scores of all branches.
        """
        names = list(self.model.branches)
        check_branches("the scores", scores, names)
        sums = [add_confidences(scores[name], labels) for name in names]
        seen = torch.stack([each.to(sums[0].device) for each in sums])
        self._confidences = seen if self._confidences is None else self._confidences + seen

    @torch.no_grad()
    def modulate(self) -> dict[str, float]:
        """Changes the gradients of the branches in place, and gives k by branch.

        Raises:
            PolicyError: nothing was observed since the last call, or a gradient is sharded or
                sparse.
        """
        if self._confidences is None:
            raise PolicyError(
                "OGMGE: modulate comes after observe(scores.branches, labels), once for each step"
            )
        confidences, self._confidences = self._confidences, None
        self.steps += 1
        if not self.active:
            return dict.fromkeys(self.model.branches, 1.0)
        if in_group():
            torch.distributed.all_reduce(confidences)
        slowed = slow_leaders(confidences.tolist(), self.alpha, self.against)
        factors = dict(zip(self.model.branches, slowed, strict=True))
        draws: dict[torch.device, torch.Generator] = {}
        for name, branch in self.model.branches.items():
            for path, parameter in branch.named_parameters():
                if parameter.grad is not None:
                    _check_gradient(f"{name}.{path}", parameter.grad)
                    self._change(parameter.grad, factors[name], draws)
        return factors

    def state_dict(self) -> dict[str, Any]:
        """Gives what a run that goes on needs, to draw the same noise."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken.

        Raises:
            PolicyError: that is no state of this policy.
        """
        if set(state) != {"steps"} or not is_count(state["steps"], 0):
            raise PolicyError(f"OGMGE: its state is {{'steps': 12}}, got {dict(state)!r:.80}")
        self.steps = state["steps"]

    def _change(
        self, gradient: Tensor, factor: float, draws: dict[torch.device, torch.Generator]
    ) -> None:
        spread = gradient.std() if self.noise and gradient.numel() > 1 else None
        gradient.mul_(factor)
        if spread is None:
            return
        device = gradient.device
        if device not in draws:
            seed = zlib.crc32(f"{self.seed} {self.steps}".encode())  # 32 bits are all it reads
            draws[device] = torch.Generator(device).manual_seed(seed)
        noise = torch.empty_like(gradient).normal_(generator=draws[device])
        gradient.add_(noise.mul_(spread))


def _check_gradient(where: str, gradient: Tensor) -> None:
    if type(gradient) is not Tensor or gradient.layout != torch.strided:
        raise PolicyError(
            f"OGMGE: the gradient of {where} is a {type(gradient).__name__} "
            f"({gradient.layout}), and only whole, dense gradients can be modulated; train "
            "without sharding (FSDP) and without sparse gradients"
        )


def _check_epochs(epochs: object) -> None:
    counts = isinstance(epochs, (list, tuple)) and all(is_count(each, 0) for each in epochs)
    if not counts or len(epochs) != 2 or epochs[0] >= epochs[1]:  # type: ignore[arg-type, index]
        raise PolicyError(
            "OGMGE: epochs are the first in which it acts and the first in which it no longer "
            f"does, for example (0, 50), got {epochs!r:.80}"
        )
