"""Any number of pretrained backbones and one fusion head as a single ``torch.nn.Module``.

These names are the promise; everything else may move. Each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionkit import balance as balance
    from fusionkit import cache as cache
    from fusionkit import data as data
    from fusionkit import training as training
    from fusionkit.assembly.compose import compose as compose
    from fusionkit.backbone.channels import adapt_input_channels as adapt_input_channels
    from fusionkit.backbone.contract import Backbone as Backbone
    from fusionkit.backbone.cover import cover_parameters as cover_parameters
    from fusionkit.backbone.depth import Level as Level
    from fusionkit.backbone.depth import Stage as Stage
    from fusionkit.card import Card as Card
    from fusionkit.catalog import Catalog as Catalog
    from fusionkit.checkpoint.from_hub import from_pretrained as from_pretrained
    from fusionkit.checkpoint.load import load as load
    from fusionkit.checkpoint.model_card import ModelCard as ModelCard
    from fusionkit.checkpoint.push import push_to_hub as push_to_hub
    from fusionkit.checkpoint.save import save as save
    from fusionkit.checkpoint.weights import load_weights as load_weights
    from fusionkit.errors import AssemblyError as AssemblyError
    from fusionkit.errors import CacheError as CacheError
    from fusionkit.errors import CheckpointError as CheckpointError
    from fusionkit.errors import ConfigError as ConfigError
    from fusionkit.errors import DataError as DataError
    from fusionkit.errors import DistributedError as DistributedError
    from fusionkit.errors import FusionKitError as FusionKitError
    from fusionkit.errors import OptionError as OptionError
    from fusionkit.errors import PluginError as PluginError
    from fusionkit.errors import PolicyError as PolicyError
    from fusionkit.errors import ResumeError as ResumeError
    from fusionkit.errors import TrainingError as TrainingError
    from fusionkit.errors import did_you_mean as did_you_mean
    from fusionkit.features import Features as Features
    from fusionkit.features import Reads as Reads
    from fusionkit.head import FusionHead as FusionHead
    from fusionkit.head import HeadInput as HeadInput
    from fusionkit.hookspecs import hookimpl as hookimpl
    from fusionkit.model.fitting import fit_head as fit_head
    from fusionkit.model.fused import FusedModel as FusedModel
    from fusionkit.policy import presets as presets
    from fusionkit.policy.freeze import Freeze as Freeze
    from fusionkit.policy.lr import LR as LR
    from fusionkit.policy.presets import suggest as suggest
    from fusionkit.preprocessing import Preprocessing as Preprocessing
    from fusionkit.recipe.form import format_recipe as format_recipe
    from fusionkit.recipe.form import read_recipe as read_recipe
    from fusionkit.recipe.values import Branch as Branch
    from fusionkit.recipe.values import Head as Head
    from fusionkit.recipe.values import Recipe as Recipe
    from fusionkit.recipe.weights import Weights as Weights
    from fusionkit.surgery.average import average as average
    from fusionkit.surgery.backbone_file import save_backbone as save_backbone
    from fusionkit.surgery.copy_matching import copy_matching as copy_matching
    from fusionkit.surgery.edit import add_branch as add_branch
    from fusionkit.surgery.edit import drop_branch as drop_branch
    from fusionkit.surgery.edit import replace_branch as replace_branch
    from fusionkit.surgery.edit import replace_head as replace_head
    from fusionkit.surgery.greedy import greedy_soup as greedy_soup
    from fusionkit.surgery.update_norms import update_norms as update_norms

__version__ = "0.1.0"

_HOMES = {
    "adapt_input_channels": "fusionkit.backbone.channels",
    "Backbone": "fusionkit.backbone.contract",
    "cover_parameters": "fusionkit.backbone.cover",
    "Level": "fusionkit.backbone.depth",
    "Stage": "fusionkit.backbone.depth",
    "Card": "fusionkit.card",
    "Catalog": "fusionkit.catalog",
    "load": "fusionkit.checkpoint.load",
    "ModelCard": "fusionkit.checkpoint.model_card",
    "from_pretrained": "fusionkit.checkpoint.from_hub",
    "push_to_hub": "fusionkit.checkpoint.push",
    "save": "fusionkit.checkpoint.save",
    "load_weights": "fusionkit.checkpoint.weights",
    "compose": "fusionkit.assembly.compose",
    "AssemblyError": "fusionkit.errors",
    "CacheError": "fusionkit.errors",
    "CheckpointError": "fusionkit.errors",
    "ConfigError": "fusionkit.errors",
    "DataError": "fusionkit.errors",
    "DistributedError": "fusionkit.errors",
    "FusionKitError": "fusionkit.errors",
    "OptionError": "fusionkit.errors",
    "PluginError": "fusionkit.errors",
    "PolicyError": "fusionkit.errors",
    "ResumeError": "fusionkit.errors",
    "TrainingError": "fusionkit.errors",
    "did_you_mean": "fusionkit.errors",
    "Features": "fusionkit.features",
    "Reads": "fusionkit.features",
    "FusionHead": "fusionkit.head",
    "HeadInput": "fusionkit.head",
    "hookimpl": "fusionkit.hookspecs",
    "fit_head": "fusionkit.model.fitting",
    "FusedModel": "fusionkit.model.fused",
    "Freeze": "fusionkit.policy.freeze",
    "LR": "fusionkit.policy.lr",
    "suggest": "fusionkit.policy.presets",
    "Preprocessing": "fusionkit.preprocessing",
    "format_recipe": "fusionkit.recipe.form",
    "read_recipe": "fusionkit.recipe.form",
    "Branch": "fusionkit.recipe.values",
    "Head": "fusionkit.recipe.values",
    "Recipe": "fusionkit.recipe.values",
    "Weights": "fusionkit.recipe.weights",
    "average": "fusionkit.surgery.average",
    "save_backbone": "fusionkit.surgery.backbone_file",
    "copy_matching": "fusionkit.surgery.copy_matching",
    "add_branch": "fusionkit.surgery.edit",
    "drop_branch": "fusionkit.surgery.edit",
    "replace_branch": "fusionkit.surgery.edit",
    "replace_head": "fusionkit.surgery.edit",
    "greedy_soup": "fusionkit.surgery.greedy",
    "update_norms": "fusionkit.surgery.update_norms",
}

_ROOMS = {
    "balance": "fusionkit.balance",
    "cache": "fusionkit.cache",
    "data": "fusionkit.data",
    "presets": "fusionkit.policy.presets",
    "training": "fusionkit.training",
}

__all__ = ["__version__", "balance", "cache", "data", "presets", "training"]
__all__.extend(sorted(_HOMES))


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'fusionkit' has no attribute {name!r}") from None
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
