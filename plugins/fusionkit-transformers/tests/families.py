"""Tiny configurations of each family, and what transformers' own models make of an input."""

from __future__ import annotations

import inspect
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from fusionkit_transformers.build import build_backbone
from torch import Tensor, nn

import fusionkit as fk

CLASSES = 5  # as many as the conformance kit asks for

PLAIN = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
LAYERS = {**PLAIN, "intermediate_size": 32}
SQUARE = {"image_size": 32, "patch_size": 8}
VIT = {**LAYERS, **SQUARE}
PYRAMID = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
WINDOWS = {
    **{"image_size": 32, "patch_size": 4, "embed_dim": 8, "window_size": 4},
    **{"depths": [1, 2], "num_heads": [2, 2]},
}
TEXT = {**LAYERS, "vocab_size": 60, "max_position_embeddings": 20}
ENDS = {"pad_token_id": 1, "bos_token_id": 58, "eos_token_id": 59}

IMAGES: dict[str, dict[str, Any]] = {
    "vit": VIT,
    "deit": VIT,
    "dinov2": {**PLAIN, **SQUARE},
    "dinov2_with_registers": {**PLAIN, **SQUARE, "num_register_tokens": 4},
    "dinov3_vit": {**VIT, "num_register_tokens": 4},
    "dinov3_convnext": {**PYRAMID, "image_size": 32},
    "convnext": {**PYRAMID, "image_size": 32},
    "convnextv2": {**PYRAMID, "image_size": 32},
    "swin": WINDOWS,
    "swinv2": WINDOWS,
    "siglip_vision_model": VIT,
    "siglip2_vision_model": {**LAYERS, "patch_size": 8, "num_patches": 16},
    "clip_vision_model": VIT,
    "resnet": {**PYRAMID, "embedding_size": 8, "layer_type": "basic"},
    "beit": VIT,
    "data2vec-vision": VIT,
    "vit_msn": VIT,
    "ijepa": VIT,
    "hiera": {
        **{"image_size": [64, 64], "embed_dim": 8, "depths": [1, 1, 2, 1]},
        "num_heads": [1, 1, 2, 2],
    },
    "regnet": {**PYRAMID, "embedding_size": 8, "groups_width": 8},
    "poolformer": PYRAMID,
    "segformer": {**PYRAMID, "num_attention_heads": [1, 1, 2, 2]},
    "efficientnet": {
        **{"image_size": 64, "hidden_dim": 320},
        **{"width_coefficient": 0.25, "depth_coefficient": 0.25},
    },
    "mobilenet_v2": {"image_size": 64, "depth_multiplier": 0.25},
    "levit": {
        **{"image_size": 64, "hidden_sizes": [16, 24, 32], "depths": [1, 1, 1]},
        **{"num_attention_heads": [2, 2, 2], "key_dim": [8, 8, 8]},
    },
}

TEXTS: dict[str, dict[str, Any]] = {
    "bert": TEXT,
    "roberta": TEXT,
    "xlm-roberta": TEXT,
    "distilbert": {
        **{"vocab_size": 60, "dim": 16, "hidden_dim": 32, "n_layers": 3, "n_heads": 2},
        "max_position_embeddings": 20,
    },
    "clip_text_model": {**TEXT, **ENDS},
    "siglip_text_model": {**TEXT, **ENDS},
    "modernbert": {**TEXT, **ENDS, "pad_token_id": 0, "cls_token_id": 58, "sep_token_id": 59},
    "deberta-v2": TEXT,
    "electra": {**TEXT, "embedding_size": 16},
    "albert": {**TEXT, "embedding_size": 8},
    "mpnet": TEXT,
    "t5": {
        **{"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3},
        **{"num_heads": 2, "vocab_size": 60},
    },
}

CLASSIFIERS = {
    "vit": "ViTForImageClassification",
    "deit": "DeiTForImageClassificationWithTeacher",
    "dinov2": "Dinov2ForImageClassification",
    "dinov2_with_registers": "Dinov2WithRegistersForImageClassification",
    "convnext": "ConvNextForImageClassification",
    "convnextv2": "ConvNextV2ForImageClassification",
    "swin": "SwinForImageClassification",
    "swinv2": "Swinv2ForImageClassification",
    "resnet": "ResNetForImageClassification",
    "beit": "BeitForImageClassification",
    "levit": "LevitForImageClassification",
    "bert": "BertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "modernbert": "ModernBertForSequenceClassification",
}

BACKBONES = {
    "dinov2": "Dinov2Backbone",
    "convnext": "ConvNextBackbone",
    "swin": "SwinBackbone",
    "resnet": "ResNetBackbone",
}


def maker(family: str, **options: Any) -> partial[fk.Backbone]:
    """Gives the factory of a tiny model of a family, without weights."""
    settings = {**{**IMAGES, **TEXTS}[family], **options.pop("config", {})}
    return partial(build_backbone, family, config=settings, **options)


def classifier_maker(family: str) -> partial[fk.Backbone]:
    """Gives the factory of a tiny model with a classifier of ``CLASSES`` classes."""
    return maker(family, architecture=CLASSIFIERS[family], config={"num_labels": CLASSES})


def perturb(module: nn.Module) -> None:
    """Moves parameters and statistics away from where defaults would hide a fault."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=generator)
                value.add_(0.2 * noise - 0.08)


def twin(backbone: fk.Backbone) -> Any:
    """Gives transformers' own model, built by its class alone, with the same parameters."""
    trunk: Any = backbone.trunk
    takes = "add_pooling_layer" in inspect.signature(type(trunk)).parameters
    arguments = {"add_pooling_layer": getattr(trunk, "pooler", None) is not None} if takes else {}
    model = type(trunk)(deepcopy(trunk.config), **arguments)
    state = trunk.state_dict()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("classifier" in name or "head" in name for name in missing), missing
    return model.eval()


def stock_inputs(model: Any, x: Any) -> dict[str, Tensor]:
    """Gives the arguments of transformers' own model, made without the backbone's help."""
    if not isinstance(x, Tensor):
        return dict(x)
    if not model.config.model_type.startswith("siglip2"):
        return {"pixel_values": x}
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    size = model.config.patch_size
    rows = [convert_image_to_patches(image.numpy(), size) for image in x]
    grid = [x.shape[2] // size, x.shape[3] // size]
    return {
        "pixel_values": torch.stack([torch.from_numpy(row.copy()) for row in rows]),
        "pixel_attention_mask": torch.ones(len(x), rows[0].shape[0], dtype=torch.int32),
        "spatial_shapes": torch.tensor([grid] * len(x)),
    }
