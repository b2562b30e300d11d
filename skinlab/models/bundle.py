"""What inference needs, read from a checkpoint alone: network, class order, size, normalisation, training prior."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from skinlab.errors import UserError, nearest
from skinlab.models.classifier import Classifier
from skinlab.models.weights import read_checkpoint


@dataclass(frozen=True)
class Bundle:
    """A trained classifier, ready to predict.

    Attributes:
        classifier: in evaluation mode; maps uint8 images ``(B, 3, S, S)`` to logits ``(B, C)``.
        classes: class names in the order of the logits.
        image_size: side of the images in pixels.
        fit: how an image is brought to that size, ``crop`` or ``stretch``.
        training_prior: share of each class among the training batches.
        sha256: hash of the checkpoint file.
    """

    classifier: Classifier
    classes: list[str]
    image_size: int
    fit: str
    training_prior: list[float]
    sha256: str

    def meta(self, **more: Any) -> dict[str, Any]:
        """Return what belongs beside a predictions table."""
        return {
            "classes": self.classes,
            "checkpoint_sha256": self.sha256,
            "image_size": self.image_size,
            "fit": self.fit,
            "training_prior": self.training_prior,
        } | more


def find_checkpoint(place: str | Path) -> Path:
    """Return the checkpoint file of a run directory (its best), or the file itself.

    Raises:
        UserError: there is none.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        best = path / "checkpoints" / "best.ckpt"
        if not best.is_file():
            raise UserError(f"ckpt={place}: the directory has no checkpoints/best.ckpt; give a run directory or a file")
        return best
    if not path.is_file():
        raise UserError(f"ckpt={place}: no such file or directory; give a run directory or a .ckpt file")
    return path


def load_bundle(place: str | Path) -> Bundle:
    """Load a run's best checkpoint, or a checkpoint file, for inference.

    Raises:
        UserError: the file is missing, damaged, carries code, or is no checkpoint of a classifier.
    """
    path = find_checkpoint(place)
    content = read_checkpoint(path)
    hparams, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(hparams, dict) or not isinstance(state, dict):
        raise UserError(f"checkpoint {path} is not one of a skinlab classifier; use checkpoints/best.ckpt of a run")
    try:
        classifier = Classifier(**hparams)
        size, fit = int(hparams["inputs"]["image_size"]), str(hparams["inputs"]["fit"])
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"checkpoint {path} is not one of a skinlab classifier ({str(error).splitlines()[0]}); use "
            "checkpoints/best.ckpt of a run"
        ) from None
    _load_network(classifier, state, path)
    return Bundle(
        classifier=classifier.eval().requires_grad_(False),
        classes=[str(name) for name in hparams["classes"]],
        image_size=size,
        fit=fit,
        training_prior=[float(share) for share in hparams["training_prior"]],
        sha256=_sha256(path),
    )


def _load_network(classifier: Classifier, state: Mapping[str, Any], path: Path) -> None:
    """Load the network's weights, all of them, and only finite ones."""
    weights = {name: value for name, value in state.items() if name.startswith("network.")}
    lacking = [name for name in classifier.state_dict() if name.startswith("network.") and name not in weights]
    if lacking:
        raise UserError(
            f"checkpoint {path} lacks {len(lacking)} tensors of its network (first: {lacking[0]}); use another"
        )
    try:
        classifier.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"checkpoint {path} does not fit its own network ({str(error).splitlines()[-1].strip()})"
        ) from None
    broken = [name for name, value in classifier.network.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise UserError(f"checkpoint {path} holds weights that are no numbers (first: {broken[0]}); use an earlier one")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def best_device(requested: str = "auto") -> torch.device:
    """Return the device to predict on: the GPU if there is one, or the one asked for.

    Raises:
        UserError: unknown name, or a GPU was asked for and there is none.
    """
    names = ("auto", "cpu", "cuda")
    if requested not in names:
        raise UserError(f"device={requested}: choose auto, cpu or cuda{nearest(requested, names)}")
    if requested == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: this machine has no CUDA device; use device=cpu")
    return torch.device("cuda" if requested != "cpu" and torch.cuda.is_available() else "cpu")
