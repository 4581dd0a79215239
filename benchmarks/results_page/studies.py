"""The runs of each page section: which recipe, on which data, changed how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["STUDIES", "Row", "Study", "branch_settings", "narrow"]

TENSORFLOW = (
    "{mean: [0.501961, 0.501961, 0.501961], std: [0.501961, 0.501961, 0.501961], resize: 256}"
)
"""128/255, as these networks were trained."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to train, run once for each seed.

    Attributes:
        title: what stands in the table.
        branches: those of the recipe that are left; all of them if empty.
        settings: what is set on the command line besides the weights.
    """

    title: str
    branches: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether it is one branch by itself."""
        return len(self.branches) == 1


@dataclass(frozen=True, slots=True)
class Study:
    """A section of the page.

    Attributes:
        title: its heading.
        about: what the data are, in Markdown.
        recipe: a file in ``examples``.
        data: a folder in the shared data.
        weights: by branch a file in the shared data.
        rows: groups of ways to train; each is compared with the best branch alone of its group.
    """

    title: str
    about: str
    recipe: str
    data: str
    weights: Mapping[str, str]
    rows: Mapping[str, tuple[Row, ...]]


FROZEN = (
    "branches.strong.freeze=all",
    "head=adaptive",
    "data.augment=false",
    "training.cache=true",
)

STUDIES = (
    Study(
        "Ants and bees",
        "244 photographs to train on and 153 to validate, of PyTorch's transfer-learning tutorial; "
        "one photograph is .0065. `strong` is MobileNetV2, `quick` is SqueezeNet 1.1; both know "
        "ImageNet, from which these photographs were taken.",
        "ants_bees.yaml",
        "images/hymenoptera",
        {
            "strong": "mobilenetv2_100-tf1_quant_in1k",
            "quick": "squeezenet1_1-winml_fp16",
        },
        {
            "The recipe as it is: `strong` thaws, `quick` is frozen, four epochs": (
                Row("both, `concat`"),
                Row("`strong` alone", ("strong",)),
                Row("`quick` alone", ("quick",)),
            ),
            "Both frozen, the head fitted to their features": (
                Row("both, `adaptive`", (), FROZEN),
                Row("`strong` alone", ("strong",), FROZEN),
                Row("`quick` alone", ("quick",), FROZEN[1:]),
            ),
        },
    ),
    Study(
        "Visible light and near infrared",
        "Nine kinds of scene, 12 pairs of each to train on and 68 pairs to validate, of the EPFL "
        "RGB-NIR scene set; one pair is .0147. Both branches are MobileNetV2, frozen.",
        "visible_infrared.yaml",
        "images/visnir9",
        dict.fromkeys(("visible", "infrared"), "mobilenetv2_100-tf1_quant_in1k"),
        {
            "The recipe as it is: the head is fitted, nothing is trained by gradient": (
                Row("both, `adaptive`"),
                Row("`visible` alone", ("visible",)),
                Row("`infrared` alone", ("infrared",)),
            ),
            "The head trained by gradient, ten epochs on cached features": (
                Row("both, `concat`", (), ("head=concat",)),
                Row("`visible` alone", ("visible",), ("head=concat",)),
                Row("`infrared` alone", ("infrared",), ("head=concat",)),
            ),
        },
    ),
)


def branch_settings(study: Study, row: Row, weights: Path) -> list[str]:
    """Gives what names the shared weights in place of the hub's, and how these are prepared."""
    settings = []
    for branch, name in study.weights.items():
        if row.branches and branch not in row.branches:
            continue
        settings.append(f"branches.{branch}.weights={weights / name}.safetensors")
        if name.startswith("mobilenet"):
            settings.append(f"branches.{branch}.options.pad_type=same")
            settings.append(f"branches.{branch}.preprocessing={TENSORFLOW}")
    return settings


def narrow(recipe: Path, row: Row, folder: Path) -> Path:
    """Gives the recipe with the row's branches alone, written into a folder if others go."""
    if not row.branches:
        return recipe
    data: dict[str, Any] = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    data["branches"] = {name: data["branches"][name] for name in row.branches}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{recipe.stem}_{'_'.join(row.branches)}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path
