"""Sum, mean, product and maximum of the branches' vectors, projected to one width."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, final

from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.pools import max_of, mean_of, product_of, sum_of
from fusionkit.heads.parts.precision import at_least_float32, at_own_precision
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["Elementwise", "MaxVectors", "MeanVectors", "ProductVectors", "SumVectors"]


class Elementwise(FusionHead):
    """Brings each branch's vector to one width and joins them component by component.

    A linear layer of each branch's own, W_i, maps its normalised vector to ``width``
    components; a classifier reads what they are joined to. Branches whose input is absent are
    left out of the sum, the mean, the product or the maximum.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: the width that all vectors are brought to.
        norm: before each W_i: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``, one for all or
            by branch; see ``Concat``.
        hidden: the width of a hidden layer after the fusion, or a list of widths, or ``None``.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the fused vector.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    bias: ClassVar[float] = 0.0
    """What the biases of W_i start at."""

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 256,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm, project=check_width("width", width))
        for name, parameter in self.vectors.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, self.bias)
            elif self.bias:  # around it, so that a product of N has a mean square below e
                nn.init.normal_(parameter, std=(len(inputs) * parameter.shape[1]) ** -0.5)
        self.classifier = perceptron(
            width, num_classes, hidden=hidden, activation=activation, dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        vectors = [at_least_float32(vector) for vector in self.vectors(features).values()]
        return at_own_precision(self.classifier, self.join(vectors))

    @abstractmethod
    def join(self, vectors: Sequence[Tensor]) -> Tensor:
        """Gives "b d" from one "b d" for each branch that is present."""


@final
class SumVectors(Elementwise):
    """The sum of the branches' projected vectors (arXiv:1604.06573).

    Gives Σ W_i x_i to a classifier. Without hidden layers it is concatenation and one linear
    layer whose rank is at most ``width``.

    Note:
        See ``Elementwise`` for the options.
    """

    card = Card(
        formula="MLP(Σ W_i norm(x_i))",
        papers=("Feichtenhofer et al., arXiv:1604.06573",),
        reads="vectors",
        when="Cheaper than concat before a hidden layer with many branches: its first layer does "
        "not grow with them. Without hidden layers it can do what concat can, and no more.",
        each=("norm", "W_i"),
        join="sum",
        after=("MLP (hidden)",),
    )

    def join(self, vectors: Sequence[Tensor]) -> Tensor:
        """Gives the sum."""
        return sum_of(vectors)


@final
class MeanVectors(Elementwise):
    """The mean of the branches' projected vectors, over those that are there.

    Gives Σ W_i x_i / n to a classifier, with n the number of branches that are present: unlike
    the sum (arXiv:1604.06573), it keeps its size when branches are absent.

    Note:
        See ``Elementwise`` for the options.
    """

    card = Card(
        formula="MLP((1/n) Σ W_i norm(x_i)), n branches present",
        papers=("Feichtenhofer et al., arXiv:1604.06573",),
        reads="vectors",
        when="As sum_vectors; rather this one where branches are often absent, since the size of "
        "what the classifier reads does not change with their number.",
        each=("norm", "W_i"),
        join="mean",
        after=("MLP (hidden)",),
    )

    def join(self, vectors: Sequence[Tensor]) -> Tensor:
        """Gives the mean."""
        return mean_of(vectors)


@final
class ProductVectors(Elementwise):
    """The elementwise product of the branches' projected vectors (arXiv:1610.04325).

    Gives W_1 x_1 ⊙ ... ⊙ W_N x_N to a classifier, a polynomial in which components of different
    branches meet, of rank ``width``. The biases of W_i start at 1 and the weights so small
    that the product starts near 1 + Σ W_i x_i, with a variance of 1 to 1.7, however many factors
    it has; of factors around zero it would vanish with their number. A branch whose input is
    absent is a factor of 1.

    Note:
        See ``Elementwise`` for the options.
    """

    card = Card(
        formula="MLP(Π_i (W_i norm(x_i) + b_i)), elementwise",
        papers=("Kim et al., arXiv:1610.04325",),
        reads="vectors",
        when="Where what one branch sees decides what another means. Harder to train than a sum "
        "with few samples, and the more so the more branches there are.",
        each=("norm", "W_i"),
        join="product",
        after=("MLP (hidden)",),
    )

    bias = 1.0

    def join(self, vectors: Sequence[Tensor]) -> Tensor:
        """Gives the product."""
        return product_of(vectors)


@final
class MaxVectors(Elementwise):
    """The elementwise maximum of the branches' projected vectors (arXiv:1604.06573).

    Gives max_i W_i x_i to a classifier: each component of the fused vector
    comes from the branch in which it is largest, and only that branch learns from it.

    Note:
        See ``Elementwise`` for the options.
    """

    card = Card(
        formula="MLP(max_i W_i norm(x_i)), elementwise",
        papers=("Feichtenhofer et al., arXiv:1604.06573",),
        reads="vectors",
        when="Where any one branch that sees something suffices. Not where weak evidence of "
        "several branches has to add up.",
        each=("norm", "W_i"),
        join="max",
        after=("MLP (hidden)",),
    )

    def join(self, vectors: Sequence[Tensor]) -> Tensor:
        """Gives the maximum."""
        return max_of(vectors)
