"""What inference needs, in one file: networks, class order, preprocessing, calibrator, prior, thresholds, gate."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, Field, ValidationError

from skinlab.errors import UserError, nearest
from skinlab.evaluation.calibration.calibrators import CALIBRATORS
from skinlab.evaluation.calibration.conformal import ConformalSets
from skinlab.evaluation.ensembles.combination import COMBINATIONS
from skinlab.evaluation.overlap import FittedOn
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.inference.gate import Gate, gate_from_dict
from skinlab.inference.learned import read_calibrator, read_learned
from skinlab.inference.member import Member, read_member
from skinlab.models.classifier import Classifier
from skinlab.models.weights import find_checkpoint, read_checkpoint
from skinlab.settings.base import Settings
from skinlab.tables.positive import known_positive

FORMAT = 1  # of bundle files


@dataclass(frozen=True)
class Bundle:
    """One classifier, or several combined, ready to predict.

    Attributes:
        members: one or more, of the same classes in the same order.
        classes: class names in the order of the logits.
        sha256: hash of the file.
        method: how the teams' probabilities are combined, one of ``COMBINATIONS``.
        learned: what the method has learned from rows, by its name: ``weights`` ``(T,)`` summing to one,
            the ``reference`` ``(T, Q, C)`` that ranks are taken among, or ``thresholds`` ``(T,)``.
        teams: number of each member's team from 0 on; members of a team are averaged before the teams are combined.
            Empty: each member is a team.
        positive: the classes that an ``overlap`` calls positive; None where they are two and the last one is.
        calibrator: of the combined probabilities, as its ``to_dict`` gave it; None for none. It is not applied here.
        thresholds: decision thresholds on the probabilities that leave the calibrator, with their intervals.
        decision: the rule for the called class, of the same probabilities; None for the most probable class.
        conformal: conformal sets on the same probabilities; None for none.
        gate: tells images of another kind than the training's; None for none.
        fitted_on: rows that the ``calibrator``, the ``gate`` and what the method has ``learned`` were fitted on,
            as far as they are known.
        training_images: what its members have seen, as its ``to_dict`` gave it; None where nothing says.
    """

    members: tuple[Member, ...]
    classes: list[str]
    sha256: str = ""
    method: str = "mean"
    learned: dict[str, Any] = field(default_factory=dict)
    teams: tuple[int, ...] = ()
    positive: list[str] | None = None
    calibrator: dict[str, Any] | None = None
    thresholds: list[FrozenThreshold] = field(default_factory=list)
    conformal: ConformalSets | None = None
    decision: Decision | None = None
    gate: Gate | None = None
    fitted_on: Mapping[str, FittedOn] = field(default_factory=dict)
    training_images: dict[str, Any] | None = None

    @property
    def classifier(self) -> Classifier:
        """Return the only member's network."""
        (member,) = self.members
        return member.classifier

    @property
    def image_size(self) -> int:
        """Return the side in pixels of the first member's images."""
        return self.members[0].image_size

    @property
    def fit(self) -> str:
        """Return how the first member's images are brought to their size."""
        return self.members[0].fit

    @property
    def lineup(self) -> list[list[int]]:
        """Return the members of each team, by their numbers."""
        teams = self.teams or range(len(self.members))
        return [[i for i, own in enumerate(teams) if own == team] for team in range(max(teams) + 1)]

    @property
    def outputs(self) -> list[str]:
        """Return the class names of the combined probabilities."""
        return ["other", "positive"] if self.positive else self.classes

    @property
    def positive_output(self) -> str | None:
        """Return the positive one of two outputs: as the first member has it, else by their names, else the last."""
        names = self.outputs
        if len(names) != 2:
            return None
        recorded = self.members[0].classifier.hparams.get("positive")
        return recorded if recorded in names else known_positive(names) or names[-1]

    @property
    def weights(self) -> list[float] | None:
        """Return the teams' weights for ``weighted``."""
        return self.learned.get("weights")

    @property
    def training_prior(self) -> list[float]:
        """Return the share of each class among the training batches, averaged over members as these are combined."""
        priors = [np.mean([self.members[i].training_prior for i in team], axis=0) for team in self.lineup]
        return [float(share) for share in np.average(priors, axis=0, weights=self.weights)]

    @property
    def probability_fits(self) -> list[FittedOn]:
        """Return what changes the probabilities, and was fitted on known rows."""
        return [fit for name, fit in self.fitted_on.items() if name != "gate"]

    @property
    def fits(self) -> list[FittedOn]:
        """Return what was chosen or fitted on known rows: the parts above, thresholds, decision and conformal sets."""
        found = list(self.fitted_on.values())
        found += [FittedOn(f"the threshold for {each.rule}", each.chosen_on, each.rows) for each in self.thresholds]
        if self.decision is not None:
            found.append(FittedOn(f"the rule {self.decision.rule}", self.decision.chosen_on, self.decision.rows))
        if self.conformal is not None:
            found.append(FittedOn("the conformal sets", self.conformal.chosen_on, self.conformal.rows))
        return found

    def with_fit(self, part: str, fit: FittedOn | None) -> Bundle:
        """Return the bundle with the rows that a part was fitted on; None where that is not known."""
        others = {name: each for name, each in self.fitted_on.items() if name != part}
        return replace(self, fitted_on=others if fit is None else others | {part: fit})

    def meta(self, **more: Any) -> dict[str, Any]:
        """Return what belongs beside a predictions table."""
        facts: dict[str, Any] = {
            "classes": self.outputs,
            "checkpoint_sha256": self.sha256,
            "checkpoints": [member.sha256 for member in self.members],
            "image_size": self.image_size,
            "fit": self.fit,
            "training_prior": self.training_prior,
        }
        if len(self.members) > 1:
            named = ("name", "image_size", "fit", "sha256")
            facts["members"] = [{key: getattr(member, key) for key in named} for member in self.members]
            facts |= {"method": self.method, "teams": self.lineup}
            facts["learned"] = {name: list(values) for name, values in self.learned.items() if name != "reference"}
        if self.positive or self.positive_output:
            facts["positive"] = self.positive or [self.positive_output]
        if self.calibrator is not None:
            facts["calibrator"] = self.calibrator
        if self.thresholds:
            facts["thresholds"] = [{**each.to_dict(), "rows": {}} for each in self.thresholds]
        if self.decision is not None:
            facts["decision"] = {**self.decision.to_dict(), "rows": {}}
        if self.conformal is not None:
            facts["conformal"] = self.conformal.facts()
        if self.probability_fits:
            facts["fitted_on"] = [asdict(fit) for fit in self.probability_fits]  # for an evaluation
        return facts | more


def load_bundle(place: str | Path) -> Bundle:
    """Load a bundle, a run's best checkpoint, or a checkpoint file, for inference.

    Raises:
        UserError: the file is missing, damaged, carries code, or is neither a checkpoint of a classifier nor a bundle.
    """
    path = find_checkpoint(place)
    return read_bundle(read_checkpoint(path), path)


def read_bundle(content: Mapping[str, Any], path: Path) -> Bundle:
    """Build a bundle from the content of its file, or of a checkpoint.

    Raises:
        UserError: it is neither a checkpoint of a classifier nor a bundle.
    """
    sha256 = _sha256(path)
    if "bundle_format" in content:
        return _of_members(content, path, sha256)
    member, classes = read_member(content, path, sha256)
    return Bundle((member,), classes, sha256)


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle to one file of tensors and plain containers; the calibrator must be plain, too.

    Raises:
        UserError: the calibrator holds something that is no number, text, list or mapping.
    """
    try:
        calibrator = json.loads(json.dumps(bundle.calibrator))
    except (TypeError, ValueError) as error:
        raise UserError(f"the calibrator is not plain ({error}); give what a JSON file can hold") from None
    members = [
        {
            "hyper_parameters": dict(member.classifier.hparams),
            "state_dict": {f"network.{k}": v.cpu() for k, v in member.classifier.network.state_dict().items()},
            "sha256": member.sha256,
        }
        for member in bundle.members
    ]
    content = {
        "bundle_format": FORMAT,
        "classes": bundle.classes,
        "members": members,
        "method": bundle.method,
        "learned": {name: torch.tensor(np.asarray(values)) for name, values in bundle.learned.items()},
        "teams": list(bundle.teams),
        "positive": bundle.positive,
        "calibrator": calibrator,
        "thresholds": [each.to_dict() for each in bundle.thresholds],
        "decision": None if bundle.decision is None else bundle.decision.to_dict(),
        "conformal": None if bundle.conformal is None else asdict(bundle.conformal),
        "gate": bundle.gate.to_dict() if bundle.gate else None,
        "fitted_on": {name: asdict(fit) for name, fit in bundle.fitted_on.items()},
    }
    if bundle.training_images is not None:
        content["training_images"] = {name: _tensor(value) for name, value in bundle.training_images.items()}
    whole = io.BytesIO()  # given a path, torch would write its name into the archive, and report a full disk as a bug
    torch.save(content, whole)
    path.write_bytes(whole.getbuffer())


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value.view(np.int64)) if isinstance(value, np.ndarray) else value


class BundleFile(Settings):
    """The content of a bundle's file."""

    model_config = ConfigDict(extra="ignore", strict=False)
    classes: list[str]
    members: list[dict[str, Any]]
    method: str
    learned: dict[str, Any]
    teams: list[int]
    positive: list[str] | None
    calibrator: dict[str, Any] | None
    thresholds: list[FrozenThreshold]
    conformal: ConformalSets | None = None  # not in older bundles
    decision: dict[str, Any] | None = None
    gate: dict[str, Any] | None
    fitted_on: dict[str, FittedOn] = Field(default_factory=dict)  # not in older bundles
    training_images: dict[str, Any] | None = None


def _of_members(content: Mapping[str, Any], path: Path, sha256: str) -> Bundle:
    """Rebuild a bundle from the content of its file."""
    version = content["bundle_format"]
    if version != FORMAT:
        raise UserError(
            f"bundle {path} has format {version}, this skinlab reads format {FORMAT}; make it again with this version"
        )
    _check_registered(path, content)
    try:
        file = BundleFile.model_validate(content)
        loaded = [read_member(each, path, str(each["sha256"])) for each in file.members]
        if not loaded or any(each[1] != file.classes for each in loaded):
            raise ValueError("its members are of other classes")
        if file.decision is not None and set(Decision.from_dict(file.decision).classes) != set(file.classes):
            raise ValueError("its rule for the called class is for other classes")
        if file.conformal is not None and len(file.conformal.thresholds) != len(file.classes):
            raise ValueError(f"its conformal sets are of {len(file.conformal.thresholds)} classes")
        if file.calibrator is not None:
            read_calibrator(file.calibrator, len(file.classes))
        bundle = Bundle(
            tuple(each[0] for each in loaded),
            file.classes,
            sha256,
            file.method,
            teams=tuple(file.teams),
            positive=file.positive,
            calibrator=file.calibrator,
            thresholds=file.thresholds,
            conformal=file.conformal,
            decision=None if file.decision is None else Decision.from_dict(file.decision),
            gate=None if file.gate is None else gate_from_dict(file.gate),
            fitted_on=file.fitted_on,
            training_images=file.training_images,
        )
        _check_teams(bundle)
        return replace(bundle, learned=read_learned(file.learned, file.method, len(bundle.lineup), len(file.classes)))
    except UserError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"its {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(f"bundle {path} is damaged ({reason}); make it again") from None
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"bundle {path} is damaged ({str(error).splitlines()[0]}); make it again") from None


def _check_teams(bundle: Bundle) -> None:
    """Raise ValueError where teams or positive classes don't fit the members, their classes or the method."""
    lineup, overlap = bundle.lineup, COMBINATIONS[bundle.method].learns == "thresholds"
    if sum(map(len, lineup)) != len(bundle.members) or not all(lineup):
        raise ValueError(f"{len(bundle.members)} networks in teams {list(bundle.teams)}")
    if not set(bundle.positive or []) < set(bundle.classes) or (overlap and len(bundle.outputs) != 2):
        raise ValueError(f"method {bundle.method} with positive classes {bundle.positive}")


def _check_registered(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a calibrator or combination that is registered by a package which is not imported."""
    calibrator = content.get("calibrator")
    calibrator = calibrator.get("method") if isinstance(calibrator, dict) else None
    kinds = (("calibrator", calibrator, CALIBRATORS), ("combine", content.get("method"), COMBINATIONS))
    for kind, name, known in kinds:
        if isinstance(name, str) and name not in known:
            raise UserError(
                f"bundle {path}: {kind}={name} is none of {', '.join(known)}; name the package that has it: "
                "'plugins=[my_package]'"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def best_device(requested: str = "auto") -> torch.device:
    """Return the device to predict on: the GPU if there is one, or the requested one.

    Raises:
        UserError: unknown name, or a GPU is requested and there is none.
    """
    names = ("auto", "cpu", "cuda")
    if requested not in names:
        raise UserError(f"device={requested}: choose auto, cpu or cuda{nearest(requested, names)}")
    if requested == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: this machine has no CUDA device; use device=cpu")
    return torch.device("cuda" if requested != "cpu" and torch.cuda.is_available() else "cpu")
