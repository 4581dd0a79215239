"""``BranchTemperatures``: how much the scores of each branch are softened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from fusionkit import ConfigError
from fusionkit.heads.parts.options import is_number, is_word, per_branch
from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["BranchTemperatures", "Temperature"]

Temperature = float | Literal["learned", "fitted"] | Mapping[str, float]

LIMIT = math.log(100.0)
"""Where a fit stops: scores that are always right would be sharpened for ever."""

HALVINGS = 50


@final
class BranchTemperatures(nn.Module):
    """Divides the scores of each branch by its temperature (Guo et al., arXiv:1706.04599).

    Args:
        names: the branches, in the order of the scores.
        temperature: one number for all; numbers by branch, 1 for those left out;
            ``"learned"``, the exponential of parameters that start at 0, so temperatures at 1;
            or ``"fitted"``, 1 until ``fit``.

    Attributes:
        given: the temperatures if they are constants, else ``None``.
        log_temperatures: "n", their logarithms: a parameter if they are learned, a buffer if
            they are fitted, else ``None``.
        fitted: whether they are to be fitted.
    """

    log_temperatures: Tensor | None

    def __init__(self, names: Sequence[str], temperature: Temperature = 1.0) -> None:
        super().__init__()
        self.names = tuple(names)
        self.given = _read_temperatures(self.names, temperature)
        self.fitted = is_word(temperature, "fitted")
        if self.fitted:
            self.register_buffer("log_temperatures", torch.zeros(len(self.names)))
        else:
            learned = nn.Parameter(torch.zeros(len(self.names))) if self.given is None else None
            self.register_parameter("log_temperatures", learned)

    @torch.no_grad()
    def fit(self, scores: Mapping[str, Tensor], labels: Tensor) -> None:
        """Sets temperatures that are fitted: each makes its own branch's likelihood largest.

        Args:
            scores: "n k" of every branch, of samples that it was not trained on.
            labels: "n".
        """
        assert self.log_temperatures is not None
        logs = [_fit_log_temperature(scores[name].double(), labels) for name in self.names]
        self.log_temperatures.copy_(torch.stack(logs))

    def forward(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gives each "b k" divided by its branch's temperature."""
        values: Any = self.given
        if self.log_temperatures is not None:
            values = at_least_float32(self.log_temperatures).exp().unbind()
        by_name = dict(zip(self.names, values, strict=True))
        return {name: score / by_name[name] for name, score in scores.items()}

    def as_dict(self) -> dict[str, float]:
        """Gives the temperatures as they are now, by branch."""
        if self.log_temperatures is None:
            assert self.given is not None
            return dict(zip(self.names, self.given, strict=True))
        now = at_least_float32(self.log_temperatures.detach()).exp().tolist()
        return dict(zip(self.names, now, strict=True))

    def extra_repr(self) -> str:
        """Gives the temperatures, or says that they are learned or fitted."""
        if self.given is None:
            return f"{'fitted' if self.fitted else 'learned'} for {', '.join(self.names)}"
        return ", ".join(f"{name}={value:.4g}" for name, value in self.as_dict().items())


def _read_temperatures(
    names: tuple[str, ...], temperature: Temperature
) -> tuple[float, ...] | None:
    """Gives constant temperatures, or ``None`` where they are to be learned or fitted."""
    if is_word(temperature, "learned", "fitted"):
        return None
    values = per_branch("temperature", temperature, names, missing=1.0)
    for name, value in values.items():
        if not (is_number(value) and value > 0):
            raise ConfigError(
                f"option temperature, for branch {name!r}: a temperature is a positive, "
                f"finite number, got {value!r}; write a number, one for each branch as "
                f"{{{name!r}: 1.5}}, 'learned' or 'fitted'"
            )
    return tuple(float(value) for value in values.values())


def _fit_log_temperature(scores: Tensor, labels: Tensor) -> Tensor:
    """Gives log T with the smallest mean of -log softmax(z / T)_y, by halving.

    That mean is convex in 1 / T, so its slope changes sign once.
    """
    of_labels = scores.gather(1, labels[:, None])[:, 0].mean()
    low, high = scores.new_tensor(-LIMIT), scores.new_tensor(LIMIT)  # of log(1 / T)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((scores * middle.exp()).softmax(-1) * scores).sum(-1).mean()
        low, high = (low, middle) if expected >= of_labels else (middle, high)
    return -(low + high) / 2
