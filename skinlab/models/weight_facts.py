"""What is known of initial weights beside their tensors: their licence, and the mean and std of their training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
from safetensors import SafetensorError, safe_open

from skinlab.errors import UserError
from skinlab.models.repository import read_repository
from skinlab.models.weights import read_checkpoint


@dataclass(frozen=True)
class WeightFacts:
    """What a weights file records; None where it does not.

    Attributes:
        licence: of the weights, or of those that their training started from.
        mean: of the pixels in [0, 1], a number for each channel.
        std: likewise.
        colour_constancy: that their training images were prepared with.
    """

    licence: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    colour_constancy: str = "none"


def published_licence(name: str) -> str | None:
    """Return the licence of the weights that timm names for a network; None where timm has no record.

    >>> published_licence("resnet18"), published_licence("vit_small_patch16_dinov3.lvd1689m")
    ('apache-2.0', 'dinov3-license')
    """
    published = timm.models.get_pretrained_cfg(name)
    licence = None if published is None else published.license
    return None if licence in (None, "unknown") else str(licence)


def read_weight_facts(path: Path) -> WeightFacts:
    """Return what a weights file records, and for what it doesn't, the files of a repository beside it.

    A checkpoint of ours has it among its settings, a safetensors file in its metadata: of foreign ones ``license`` is
    read; of ours the record of a pretraining and that of ``skinlab.bundle format=safetensors``. See
    :func:`skinlab.models.repository.read_repository` for the files beside it.

    Raises:
        UserError: the checkpoint can't be read, or mean and std are not three numbers each.
    """
    own, beside = _own_facts(path), read_repository(path.parent)
    given = _facts({"licence": beside.licence, "inputs": beside.inputs}, "licence", path.parent)
    return replace(own, licence=own.licence or given.licence, mean=own.mean or given.mean, std=own.std or given.std)


def _own_facts(path: Path) -> WeightFacts:
    if path.suffix != ".safetensors":
        settings = read_checkpoint(path).get("hyper_parameters")
        return _facts(settings, "licence", path) if isinstance(settings, dict) else WeightFacts()
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: _parsed(text) for key, text in (file.metadata() or {}).items()}
    except (SafetensorError, OSError):
        return WeightFacts()  # reported by whoever reads the weights
    if isinstance(record := metadata.get("skinlab"), dict):
        return _facts(record, "init_licence", path)
    exported = metadata.get("normalisation")  # a list with an entry for each network
    inputs = exported[0] if isinstance(exported, list) and exported else None
    licence = metadata.get("licence") or metadata.get("license")
    return _facts({"licence": licence, "inputs": inputs}, "licence", path)


def _parsed(text: str) -> Any:
    """Return the value of metadata, which is JSON in files of ours and plain text in others."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _facts(record: Mapping[str, Any], licence: str, path: Path) -> WeightFacts:
    known, given = record.get(licence), record.get("inputs")
    facts = WeightFacts(str(known) if known else None)
    if not isinstance(given, Mapping) or not {"mean", "std"} <= given.keys():
        return facts
    try:
        mean, std = (np.array(given[name], dtype=float) for name in ("mean", "std"))
        right = mean.shape == std.shape == (3,) and bool(np.isfinite(mean).all() and (std > 0).all())
    except (TypeError, ValueError):
        right = False
    if not right:
        raise UserError(
            f"{path} records mean={given['mean']} and std={given['std']}, not three numbers each; write the file again"
        )
    constancy = str(given.get("colour_constancy", "none"))
    return WeightFacts(facts.licence, tuple(mean.tolist()), tuple(std.tolist()), constancy)
