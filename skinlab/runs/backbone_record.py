"""Write and read the record of a pretrained backbone: its method, network and training images.

The record lies within the safetensors file, as its metadata, so that it can't be lost on the way; ``backbone.json``
beside it is the same for people to read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from skinlab.errors import UserError, nearest, some
from skinlab.files import replacing, write_json
from skinlab.models.hub import PREFIX, download_weights
from skinlab.models.repository import weights_in
from skinlab.settings.recorded import (
    BACKBONE,
    how_to_finish,
    is_finished,
    is_training,
    read_recorded,
    unfinished_pretraining,
)

NAME = BACKBONE
BEST = Path("checkpoints") / "best.ckpt"  # of a training
KEY = "skinlab"  # of the record in the file's metadata, which maps text to text
# Content hashes and groups of the training images and of the images that the best epoch was chosen by, the ends of
# their file names, and initial weights whose training images are unknown.
TRAINING_IMAGES = ("images", "groups", "val_images", "val_groups", "files", "unknown")
REMEDY = "write the file again by skinlab.pretrain"


def write_backbone(run_dir: Path, state: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    """Write ``backbone.safetensors`` and ``backbone.json``, each whole or not at all.

    Args:
        run_dir: takes them.
        state: the backbone's weights by timm's names.
        record: JSON-able.
    """
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    with replacing(run_dir / NAME) as temporary:
        temporary.write_bytes(save(tensors, metadata={KEY: json.dumps(record)}))  # an OSError where the disk is full
    write_json(run_dir / "backbone.json", dict(record))


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a weights file; None where it has none, or is of another kind.

    Raises:
        UserError: it has one that is damaged.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):
        return None  # reported by whoever reads the weights
    if found is None:
        return None
    try:
        record = json.loads(found)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} has a damaged record ({error}); {REMEDY}") from None
    if not isinstance(record, dict):
        raise UserError(f"{path} has a damaged record (a {type(record).__name__} instead of a mapping); {REMEDY}")
    for name in TRAINING_IMAGES:
        if not isinstance(record.get(name, []), list):
            raise UserError(f"{path} has a damaged record (its {name} is no list); {REMEDY}")
    return record


def find_init(init: str, fold: int | None = None) -> str:
    """Return ``model.init`` with a folder or a name of the hub replaced by the weights file that is meant.

    That of a pretraining is the backbone in it, that of a training its best checkpoint, and that of a sweep of
    pretrainings the backbone of one fold. A repository of the hub is downloaded where it is not in the cache.

    Args:
        init: as set.
        fold: ``data.fold`` of the run that starts from it.

    Raises:
        UserError: there is no such file, the directory has none or none of the fold, it is a bundle, or the repository
            can't be downloaded.
    """
    path, names = Path(init).expanduser(), ("auto", "imagenet", "random")
    if path.suffix == ".bundle":
        raise UserError(f"model.init={init}: a bundle is for predictions; give its run's checkpoints/best.ckpt")
    if init in names or path.is_file():
        return init
    if init.startswith(PREFIX):
        return str(download_weights(init))
    if not path.is_dir():
        hint = nearest(init, names)
        remedy = (
            "give auto, imagenet, random, a run (such as a pretraining's folder), a weights file or hf-hub:OWNER/NAME"
        )
        raise UserError(f"model.init={init}: no such file{hint}; {remedy}")
    if (path / NAME).is_file():
        return str(path / NAME)
    if (path / BEST).is_file() and is_training(path):
        if not is_finished(path):
            raise UserError(f"model.init={init}: {how_to_finish(path)}, or give checkpoints/best.ckpt in it")
        return str(path / BEST)
    if pretrained := sorted(each.parent for each in path.glob(f"*/{NAME}")):
        return str(_of_fold(init, pretrained, fold) / NAME)
    if published := weights_in(path):
        return str(published)
    if trained := next(path.glob("*/checkpoints/best.ckpt"), None):
        raise UserError(f"model.init={init} is a sweep of several networks; give the weights of one, such as {trained}")
    if why := unfinished_pretraining(path):
        raise UserError(f"model.init={init}: {why}")
    raise UserError(
        f"model.init={init}: the directory has no {NAME}; give a finished run of skinlab.pretrain or skinlab.train, or "
        "a weights file"
    )


def _of_fold(init: str, runs: Sequence[Path], fold: int | None) -> Path:
    """Return the pretraining of a fold among those of a sweep."""
    folds = [read_recorded(run, {"data.fold": (int, type(None))})["data"]["fold"] for run in runs]
    own = [run for run, each in zip(runs, folds, strict=True) if each == fold]
    if len(own) != 1:
        found = f"{len(own)} pretrainings of data.fold={fold} ({some(own)})" if own else f"none of data.fold={fold}"
        remedy = "give the one you mean" if own else f"pretrain it: python -m skinlab.pretrain data.fold={fold}"
        raise UserError(f"model.init={init} has {found} among those of the folds {some(folds, 9)}; {remedy}")
    return own[0]


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a resolved config, whatever the order of its keys.

    >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
