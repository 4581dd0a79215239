"""What a name means: a repository of the hub, a folder, or a model type of transformers."""

from __future__ import annotations

import re

__all__ = ["FOLDER", "WELL_KNOWN", "is_known", "is_model_type", "model_types"]

FOLDER = "local-dir:"

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")

WELL_KNOWN = (
    "facebook/dinov2-small",
    "facebook/dinov2-base",
    "facebook/dinov2-large",
    "facebook/dinov2-with-registers-small",
    "facebook/dinov2-with-registers-base",
    "facebook/dinov3-vits16-pretrain-lvd1689m",
    "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
    "google/vit-base-patch16-224",
    "google/vit-base-patch16-224-in21k",
    "facebook/deit-small-patch16-224",
    "facebook/deit-base-distilled-patch16-224",
    "microsoft/beit-base-patch16-224",
    "microsoft/swin-tiny-patch4-window7-224",
    "microsoft/swinv2-tiny-patch4-window8-256",
    "facebook/convnext-tiny-224",
    "facebook/convnextv2-tiny-22k-224",
    "microsoft/resnet-50",
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-large-patch14",
    "google/siglip-base-patch16-224",
    "google/siglip2-base-patch16-224",
    "google/siglip2-base-patch16-naflex",
    "google-bert/bert-base-uncased",
    "FacebookAI/roberta-base",
    "FacebookAI/xlm-roberta-base",
    "distilbert/distilbert-base-uncased",
    "answerdotai/ModernBERT-base",
    "sentence-transformers/all-MiniLM-L6-v2",
)


def is_known(name: str) -> bool:
    """Tells whether a name can be looked up, without network or disk."""
    if name.startswith(FOLDER):
        return len(name) > len(FOLDER)
    return bool(REPOSITORY.fullmatch(name)) or ("/" not in name and is_model_type(name))


def is_model_type(name: str) -> bool:
    """Tells a model type of transformers, such as ``vit``."""
    return name in model_types()


def model_types() -> frozenset[str]:
    """Gives all model types of the installed transformers."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return frozenset(CONFIG_MAPPING_NAMES)
