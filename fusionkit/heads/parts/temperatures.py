"""``BranchTemperatures``: how much the scores of each branch are softened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from fusionkit import ConfigError
from fusionkit.heads.parts.options import is_number, per_branch
from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["BranchTemperatures", "Temperature"]

Temperature = float | Literal["learned"] | Mapping[str, float]


@final
class BranchTemperatures(nn.Module):
    """Divides the scores of each branch by its temperature (Guo et al., arXiv:1706.04599).

    Args:
        names: the branches, in the order of the scores.
        temperature: one number for all; numbers by branch, 1 for those left out; or
            ``"learned"``, the exponential of parameters that start at 0, so temperatures at 1.

    Attributes:
        given: the temperatures if they are constants, else ``None``.
        log_temperatures: "n", their logarithms if they are learned, else ``None``.
    """

    log_temperatures: nn.Parameter | None

    def __init__(self, names: Sequence[str], temperature: Temperature = 1.0) -> None:
        super().__init__()
        self.names = tuple(names)
        self.given = _read_temperatures(self.names, temperature)
        learned = nn.Parameter(torch.zeros(len(self.names))) if self.given is None else None
        self.register_parameter("log_temperatures", learned)

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
        """Gives the temperatures, or says that they are learned."""
        if self.given is None:
            return f"learned for {', '.join(self.names)}"
        return ", ".join(f"{name}={value:.4g}" for name, value in self.as_dict().items())


def _read_temperatures(
    names: tuple[str, ...], temperature: Temperature
) -> tuple[float, ...] | None:
    """Gives constant temperatures, or ``None`` where they are to be learned."""
    if temperature == "learned":
        return None
    values = per_branch("temperature", temperature, names, missing=1.0)
    for name, value in values.items():
        if not (is_number(value) and value > 0):
            raise ConfigError(
                f"option temperature, for branch {name!r}: a temperature is a positive, "
                f"finite number, got {value!r}; write a number, one for each branch as "
                f"{{{name!r}: 1.5}}, or 'learned'"
            )
    return tuple(float(value) for value in values.values())
