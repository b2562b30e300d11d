"""What the files beside published weights say of them: network, licence, mean and std."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import metadata_load
from timm.data import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from skinlab.errors import UserError

# One file of weights is used, the first of these; those of tensors only come first.
WEIGHTS = (
    *("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("open_clip_pytorch_model.bin", "pytorch_model.bin"),
)
RECORDS = ("README.md", "config.json", "open_clip_config.json", "preprocessor_config.json")
# Widths of CLIP's image towers → timm's word for them.
CLIP_SIZES = {256: "xsmall", 512: "medium", 640: "betwixt", 768: "base", 1024: "large", 1280: "huge", 1664: "gigantic"}
CLIP_TYPES = ("clip", "clip_vision_model")  # transformers' names
CLIP_DEFAULTS = {"hidden_size": 768, "patch_size": 32, "image_size": 224, "hidden_act": "quick_gelu"}


@dataclass(frozen=True)
class RepositoryRecord:
    """What the files beside weights say of them; empty where they say nothing.

    Attributes:
        networks: timm's names of the networks that the weights fit, the published one first.
        licence: of the weights.
        inputs: ``mean`` and ``std`` of the pixels in [0, 1], as they stand in the file.
        model_type: name of an architecture of the library transformers.
    """

    networks: tuple[str, ...] = ()
    licence: str | None = None
    inputs: Mapping[str, Any] | None = None
    model_type: str | None = None


def weights_in(folder: Path) -> Path | None:
    """Return the weights file of a downloaded repository; None where a folder has none."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def read_repository(folder: Path) -> RepositoryRecord:
    """Return what the files of a repository say of its weights, in the forms of timm, open_clip and transformers.

    Nothing is read of a folder without a configuration of one of the three.

    Raises:
        UserError: a configuration has another form.
    """
    config, clip, images = (_read_json(folder / name) for name in RECORDS[1:])
    licence = _card_licence(folder / "README.md")
    try:
        if "model_cfg" in clip:
            inputs = {"mean": OPENAI_CLIP_MEAN, "std": OPENAI_CLIP_STD} | clip.get("preprocess_cfg", {})
            return RepositoryRecord(_known(_open_clip_name(clip["model_cfg"])), licence, inputs)
        if "architecture" in config:
            return _timm_record(config, licence)
        if "model_type" in config:
            inputs = {"mean": images["image_mean"], "std": images["image_std"]} if "image_mean" in images else None
            names = _known(_transformers_name(config)) if config["model_type"] in CLIP_TYPES else ()
            return RepositoryRecord(names, licence, inputs, str(config["model_type"]))
    except (AttributeError, TypeError, KeyError) as error:
        raise UserError(
            f"{folder}: its configuration is damaged ({type(error).__name__}: {error}); download it again, or give the "
            "weights file in a folder of its own"
        ) from None
    return RepositoryRecord()


def _timm_record(config: Mapping[str, Any], licence: str | None) -> RepositoryRecord:
    published, name = config.get("pretrained_cfg", config), str(config["architecture"])
    # OpenAI's weights stand under names without quickgelu, though they were trained with it.
    twin = name if "quickgelu" in name else name.replace("_clip_", "_clip_quickgelu_")
    known = licence or published.get("license")
    return RepositoryRecord(_known(name, twin), str(known) if known else None, published)


def _known(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if timm.is_model(name)))


def _open_clip_name(config: Mapping[str, Any]) -> str:
    tower = config.get("vision_cfg", {})
    if "timm_model_name" in tower:
        return str(tower["timm_model_name"]).partition(".")[0]
    return _clip_name(tower.get("width"), tower.get("patch_size"), tower.get("image_size"), config.get("quick_gelu"))


def _transformers_name(config: Mapping[str, Any]) -> str:
    tower = CLIP_DEFAULTS | config.get("vision_config", config)
    quick = tower["hidden_act"] == "quick_gelu"
    return _clip_name(tower["hidden_size"], tower["patch_size"], tower["image_size"], quick)


def _clip_name(width: Any, patch: Any, side: Any, quick: Any) -> str:
    """Return timm's name of an image tower of CLIP.

    >>> _clip_name(1024, 14, 224, True)
    'vit_large_patch14_clip_quickgelu_224'
    """
    return f"vit_{CLIP_SIZES.get(width)}_patch{patch}_clip_{'quickgelu_' if quick else ''}{side}"


def _card_licence(path: Path) -> str | None:
    """Return the licence in the header of a repository's README."""
    try:
        card = metadata_load(path) or {}
    except Exception:  # none, or a header that is no YAML
        return None
    licence = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return str(licence) if licence and licence != "unknown" else None


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, {} where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
