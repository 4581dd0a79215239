"""``BranchScores``: what each branch alone says about the classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn

from fusionkit import ConfigError, Features, HeadInput
from fusionkit.heads.parts.norms import vector_norm
from fusionkit.heads.parts.options import per_branch
from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["BranchScores"]


@final
class BranchScores(nn.Module):
    """Gives one "b k" of unnormalised scores by branch, in alphabetical order of the branches.

    A branch that kept its stock classifier, of as many classes, is read by its logits; any
    other by its vector, through a norm and a new linear layer.

    Args:
        inputs: what the branches offer.
        num_classes: the width k of the scores.
        norm: before each new linear layer, see ``norms.vector_norm``; one for all or by branch.

    Attributes:
        names: the branches, in the order of what ``forward`` gives.
        reads: "logits" or "vector" for each branch.
    """

    def __init__(
        self, inputs: Mapping[str, HeadInput], num_classes: int, *, norm: Any = "layer"
    ) -> None:
        super().__init__()
        self.names = tuple(sorted(inputs))
        self.reads = {
            name: "logits" if inputs[name].num_classes == num_classes else "vector"
            for name in self.names
        }
        norms = per_branch("norm", norm, self.names, missing="layer")
        self.classifiers = nn.ModuleDict()
        for name in self.names:
            if self.reads[name] == "vector":
                width = inputs[name].embed_dim
                self.classifiers[name] = nn.Sequential(
                    OrderedDict(
                        norm=vector_norm(norms[name], width, name),
                        linear=nn.Linear(width, num_classes),
                    )
                )
            elif isinstance(norm, Mapping) and name in norm:
                raise ConfigError(
                    f"option norm: branch {name!r} is read by its own classifier, which "
                    "takes no norm; leave it out, or give it a new classifier with "
                    "Branch(..., classifier=False)"
                )

    def forward(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives the scores of the branches that are present, at least in float32."""
        present = [name for name in self.names if name in features]
        return {name: at_least_float32(self._score(name, features[name])) for name in present}

    def _score(self, name: str, feature: Features) -> Tensor:
        if self.reads[name] == "logits":
            assert feature.logits is not None
            return feature.logits
        score: Tensor = self.classifiers[name](feature.vector)
        return score

    def extra_repr(self) -> str:
        """Names the branches that are read by their own classifiers."""
        kept = [name for name in self.names if self.reads[name] == "logits"]
        return f"own classifiers: {', '.join(kept)}" if kept else ""
