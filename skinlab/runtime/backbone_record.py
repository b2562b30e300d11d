"""What a pretrained backbone tells of itself, and what it must not have seen.

The record lies within the safetensors file, as its metadata, so that it can't be lost on the way; ``backbone.json``
beside it is the same for people to read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from skinlab.data.manifest import some
from skinlab.data.preparation import Prepared
from skinlab.errors import UserError
from skinlab.runtime.run_directory import replacing, write_json

log = logging.getLogger(__name__)

NAME = "backbone.safetensors"
KEY = "skinlab"  # of the record in the file's metadata, which maps text to text


def write_backbone(run_dir: Path, state: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    """Write ``backbone.safetensors`` and ``backbone.json``, each whole or not at all.

    Args:
        run_dir: takes them.
        state: the backbone's weights by timm's names.
        record: JSON-able.
    """
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    with replacing(run_dir / NAME) as temporary:
        save_file(tensors, temporary, metadata={KEY: json.dumps(record)})
    write_json(run_dir / "backbone.json", dict(record))


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a weights file; None where it has none, or is of another kind."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):
        return None  # whoever reads the weights tells what is wrong with it
    return None if found is None else dict(json.loads(found))


def find_init(init: str) -> str:
    """Return ``model.init`` with a run directory replaced by the backbone in it.

    Raises:
        UserError: the directory has none.
    """
    path = Path(init).expanduser()
    if init in ("auto", "imagenet", "random") or not path.is_dir():
        return init
    if not (path / NAME).is_file():
        raise UserError(
            f"model.init={init}: the directory has no {NAME}; give a finished run of skinlab.pretrain, or a file such "
            "as checkpoints/best.ckpt"
        )
    return str(path / NAME)


def check_seen(init: str, record: Mapping[str, Any], prepared: Prepared, *, allow_seen: bool) -> dict[str, int]:
    """Count the validation and test images of a split that a backbone's pretraining has seen, by their pixels.

    Args:
        init: as given, for the error.
        record: of the backbone.
        prepared: the data to be trained and tested on.
        allow_seen: warn rather than refuse.

    Returns:
        ``init_saw_val`` and ``init_saw_test``.

    Raises:
        UserError: it has seen some.
    """
    known, rows = set(record["images"]), prepared.manifest
    seen = {
        split: [each for each in rows["image_id"][rows["split"] == split] if prepared.image_hashes[each] in known]
        for split in ("val", "test")
    }
    if any(seen.values()):
        told = " and ".join(f"{len(ids)} {split} images ({some(ids, 2)})" for split, ids in seen.items() if ids)
        message = f"model.init={init}: its pretraining ({record['method']}) saw {told} of this split"
        if not allow_seen:
            raise UserError(
                f"{message}; pretrain with the same data.fold and data.split_seed, or let it count as a leak: "
                "model.allow_seen=true"
            )
        log.warning("%s: the figures of those images are no test of new ones", message)
    return {f"init_saw_{split}": len(ids) for split, ids in seen.items()}


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a resolved config, whatever the order of its keys.

    >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
