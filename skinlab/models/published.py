"""Convert published tensors to timm's names and to the image size of a network."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Collection, Mapping

import torch
from torch import nn

# Prefix of the image tower's tensors in CLIP files of the library transformers: of both towers, of this alone.
CLIP = ("vision_model.", "")
CLIP_NAMES = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding.weight": "pos_embed",
    "embeddings.patch_embedding": "patch_embed.proj",
    "pre_layrnorm": "norm_pre",  # as transformers spells it
    "post_layernorm": "norm",
    "encoder.layers": "blocks",
    "layer_norm": "norm",
    "self_attn.out_proj": "attn.proj",
}


def as_timm(
    network: nn.Module, state: Mapping[str, torch.Tensor], heads: Collection[str]
) -> Mapping[str, torch.Tensor]:
    """Return published tensors under timm's names and, for a transformer, resampled to its image size and patch size.

    Those that fit already, and those that timm has no conversion for, stay as they are.

    Args:
        network: takes them.
        state: as published.
        heads: names of the network's tensors that are not needed.
    """
    for prefix in CLIP:
        if f"{prefix}pre_layrnorm.weight" in state:
            state = _from_transformers_clip(state, prefix)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None or all(key in heads or (key in state and state[key].shape == shapes[key]) for key in shapes):
        return state
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # that of DINOv3 prints a line for each layer
            return dict(convert(dict(state), network))
    except Exception:  # timm's conversions raise errors of many types for a file of another architecture
        return state


def _from_transformers_clip(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the image tower of a CLIP of transformers (Radford et al., 2021) under timm's names.

    timm has query, key and value of an attention in one tensor, and batch axes before class token and positions.
    """
    found: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if not key.startswith(prefix) or key.endswith("position_ids"):
            continue
        name = key.removeprefix(prefix)
        for theirs, ours in CLIP_NAMES.items():
            name = name.replace(theirs, ours)
        if name in ("cls_token", "pos_embed"):
            value = value.reshape(1, -1, value.shape[-1])
        found[name] = value
    for name in [name for name in found if ".self_attn.q_proj." in name]:
        parts = [name.replace(".q_proj.", f".{letter}_proj.") for letter in "qkv"]
        if all(part in found for part in parts):
            found[name.replace("self_attn.q_proj", "attn.qkv")] = torch.cat([found.pop(part) for part in parts])
    return found
