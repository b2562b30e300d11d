"""A trained classifier for inference, built from the content of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from skinlab.errors import UserError
from skinlab.models.classifier import Classifier
from skinlab.models.weights import Uninitialised
from skinlab.report.wording import licence_in_words, restrictions
from skinlab.settings.base import Settings, create
from skinlab.settings.data import ColourConstancy
from skinlab.settings.types import Text
from skinlab.text import clean

log = logging.getLogger(__name__)

MAX_SIDE = 8192  # pixels; more is no size that a network was trained at
Finite = Annotated[float, Field(allow_inf_nan=False)]


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

    @property
    def licence(self) -> str | None:
        """Return the licence of the initial weights; None where it is not known."""
        licence: str | None = self.classifier.hparams.get("licence")
        return licence


class ImageParameters(Settings):
    """What a checkpoint says of the images that its network was trained on."""

    model_config = ConfigDict(extra="ignore")
    image_size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    fit: Literal["crop", "stretch"]
    mean: Annotated[list[Finite], Field(strict=False, min_length=3, max_length=3)]
    std: Annotated[list[Annotated[Finite, Field(gt=0)]], Field(strict=False, min_length=3, max_length=3)]
    colour_constancy: ColourConstancy = "none"  # left out by older versions


class HyperParameters(Settings):
    """What inference needs of a checkpoint's hyper-parameters."""

    classes: Annotated[list[Text], Field(min_length=2)]
    training_prior: list[Finite]
    inputs: ImageParameters

    def mistakes(self) -> Iterator[str]:
        """Yield what makes the classes and their shares impossible."""
        if len(set(self.classes)) < len(self.classes):
            yield "its classes are not different names"
        if any(clean(name) != name for name in self.classes):
            yield "its classes are not clean text"
        if len(self.training_prior) != len(self.classes):
            yield "its training_prior is not one number a class"


def licences(members: Sequence[Member]) -> list[str]:
    """Return the licences of the initial weights that are known, each once."""
    return sorted({member.licence for member in members if member.licence})


def log_licences(members: Sequence[Member]) -> None:
    """Log each licence with the networks that started from such weights, as a warning where it restricts use."""
    for licence in licences(members):
        names = ", ".join(dict.fromkeys(member.name for member in members if member.licence == licence))
        level = logging.WARNING if restrictions(licence) else logging.INFO
        log.log(level, "initial weights of %s: licence %s", names, licence_in_words(licence))


def read_member(content: Mapping[str, Any], path: Path, sha256: str) -> tuple[Member, list[str]]:
    """Build a classifier from the content of a checkpoint; return it with its classes.

    Args:
        content: of the checkpoint, or of one of a bundle's members.
        path: of the file, for messages.
        sha256: of the checkpoint.

    Raises:
        UserError: it is not the whole of a classifier.
    """
    refusal, remedy = f"checkpoint {path} is not one of a skinlab classifier", "use checkpoints/best.ckpt of a run"
    hparams, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(hparams, dict) or not isinstance(state, dict):
        raise UserError(f"{refusal}; {remedy}")
    try:
        known = create(HyperParameters, {name: hparams.get(name) for name in HyperParameters.model_fields})
    except UserError as error:
        raise UserError(f"{refusal} ({error}); {remedy}") from None
    try:
        with Uninitialised():  # _load_network fills all of it
            classifier = Classifier(**hparams)
    except UserError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"{refusal} ({str(error).splitlines()[0]}); {remedy}") from None
    _load_network(classifier, state, path)
    prior, inputs = [float(share) for share in known.training_prior], known.inputs
    member = Member(classifier.eval().requires_grad_(False), inputs.image_size, inputs.fit, prior, sha256)
    return member, known.classes


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
