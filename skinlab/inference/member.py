"""A trained classifier for inference, built from the content of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinlab.errors import UserError
from skinlab.models.classifier import Classifier

MAX_SIDE = 8192  # pixels; more is no size that a network was trained at


@dataclass(frozen=True)
class Member:
    """A trained classifier with what its images must look like.

    Attributes:
        classifier: in evaluation mode; maps uint8 images ``(B, 3, S, S)`` to logits ``(B, C)``.
        image_size: side of the images in pixels.
        fit: how an image is brought to that size, ``crop`` or ``stretch``.
        training_prior: share of each class among the training batches.
        sha256: hash of the checkpoint file.
    """

    classifier: Classifier
    image_size: int
    fit: str
    training_prior: list[float]
    sha256: str

    @property
    def name(self) -> str:
        """Return timm's name of the network."""
        return str(self.classifier.hparams["network"]["name"])


def read_member(content: Mapping[str, Any], path: Path, sha256: str) -> tuple[Member, list[str]]:
    """Build a classifier from the content of a checkpoint; return it with its classes.

    Args:
        content: of the checkpoint, or of one of a bundle's members.
        path: of the file, for messages.
        sha256: of the checkpoint.

    Raises:
        UserError: it is not the whole of a classifier.
    """
    hparams, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(hparams, dict) or not isinstance(state, dict):
        raise UserError(f"checkpoint {path} is not one of a skinlab classifier; use checkpoints/best.ckpt of a run")
    try:
        _check_hyper_parameters(hparams)
        classifier = Classifier(**hparams)
    except UserError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"checkpoint {path} is not one of a skinlab classifier ({str(error).splitlines()[0]}); use "
            "checkpoints/best.ckpt of a run"
        ) from None
    _load_network(classifier, state, path)
    prior, inputs = [float(share) for share in hparams["training_prior"]], hparams["inputs"]
    member = Member(classifier.eval().requires_grad_(False), inputs["image_size"], inputs["fit"], prior, sha256)
    return member, [str(name) for name in hparams["classes"]]


def _check_hyper_parameters(hparams: Mapping[str, Any]) -> None:
    """Raise ValueError where a value is of another type or range than a training records."""
    classes, prior, inputs = hparams["classes"], hparams["training_prior"], hparams["inputs"]
    if not isinstance(classes, list) or len({*map(str, classes)}) < max(len(classes), 2):
        raise ValueError("its classes are not two or more different names")
    if not isinstance(prior, list) or len(prior) != len(classes) or not all(map(_is_number, prior)):
        raise ValueError("its training_prior is no number a class")
    if not isinstance(inputs["image_size"], int) or not 1 <= inputs["image_size"] <= MAX_SIDE:
        raise ValueError(f"its image_size is not from 1 to {MAX_SIDE}")
    if inputs["fit"] not in ("crop", "stretch"):
        raise ValueError("its fit is neither crop nor stretch")
    for name in ("mean", "std"):
        values = inputs[name]
        if not isinstance(values, (list, tuple)) or len(values) != 3 or not all(map(_is_number, values)):
            raise ValueError(f"its {name} is not three numbers")
    if min(inputs["std"]) <= 0:
        raise ValueError("its std is not above 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _load_network(classifier: Classifier, state: Mapping[str, Any], path: Path) -> None:
    """Load the network's weights, all of them, and only finite ones."""
    weights = {name: value for name, value in state.items() if str(name).startswith("network.")}
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
