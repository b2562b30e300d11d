"""Run a leak meter: its trainings, of which finished ones are not repeated, and what the leaks are worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skinlab.assessment.evidence_files import describe_provenance
from skinlab.data.preparation import Prepared
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.leak_form import FORMAT, LeakEvidence
from skinlab.evaluation.predictions import FLOAT_FORMAT, Predictions, check_positive
from skinlab.evaluation.statistics.estimates import LEVEL
from skinlab.evaluation.thresholds.choice import is_fixed, parse_rule
from skinlab.files import write_json, write_text
from skinlab.json_files import read_json
from skinlab.leaks.outcome import measure
from skinlab.leaks.plan import TEST, Plan, Training, make_plan
from skinlab.leaks.training import Recipes, run_training
from skinlab.models.weights import WeightsUnavailable, imagenet_state
from skinlab.processes.progress import Progress
from skinlab.settings.base import is_among, names_that_may_differ
from skinlab.settings.command import Invocation
from skinlab.settings.commands.audit import AuditSettings, LeakSettings
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.recorded import leaves
from skinlab.settings.run import RunSettings
from skinlab.tables.positive import positive_names
from skinlab.tables.predictions import read_predictions
from skinlab.text import quantity

LITE = "tf_efficientnet_lite0"
BATCH = 64  # of a pretraining; SimCLR compares the images of a batch


def run_meter(settings: AuditSettings, prepared: Prepared, invocation: Invocation) -> LeakEvidence:
    """Train with and without leaks, and return what they are worth; predictions are kept in ``leaks/``.

    Args:
        settings: of the audit.
        prepared: the audited data.
        invocation: its overrides of the data go to the trainings.

    Raises:
        UserError: a setting or the data has to be corrected; nothing has been trained then.
    """
    run_dir, own = Path(settings.run_dir), settings.leaks
    _check_rules(own.rules)
    positive = _positive(own, prepared)
    plan = make_plan(prepared.manifest, own)
    recipes = compose_recipes(own, invocation, plan, run_dir)
    folder = run_dir / "leaks"
    _check_same(folder, _fingerprint(recipes, prepared, own.n_images))
    train_all(plan, recipes, prepared, own.seeds, folder)
    tables = {
        (training.name, table): {
            seed: _read(_file(folder, training, seed, table), prepared.positive) for seed in own.seeds
        }
        for training in plan.trainings.values()
        for table in training.keeps
    }
    test = plan.clean[plan.clean["split"] == "test"]
    counts = plan.clean["split"].value_counts()
    return {
        "format": FORMAT,
        "kind": "leaks",
        "level": LEVEL,
        "provenance": describe_provenance(invocation.command, settings.dump()),
        "data": settings.data.name,
        "split_sha256": prepared.split_hash,
        "network": recipes.train.model.name,
        "init": recipes.train.model.init,
        "image_size": own.image_size,
        "epochs": recipes.train.trainer.max_epochs,
        "pretrain_epochs": recipes.pretrain.trainer.max_epochs,
        "seeds": list(own.seeds),
        "images": {split: int(counts[split]) for split in ("train", "val", "test")},
        "lesions": int(test["group"].nunique()),
        "leaks": measure(plan.leaks, tables, positive),
        "cautions": _cautions(settings, len(plan.trainings) * len(own.seeds), len(test)),
    }


def _check_rules(rules: Sequence[str]) -> None:
    """Refuse what is no rule, or one that no images choose."""
    for rule in rules:
        with user_errors("leaks.rules: "):
            parse_rule(rule)
        if is_fixed(rule):
            raise UserError(f"leaks.rules: {rule} is fixed beforehand, so that no images choose it; leave it out")


def _positive(settings: LeakSettings, prepared: Prepared) -> list[str]:
    """Return the classes that thresholds are for; none where they are not known."""
    if len(prepared.classes) == 2:
        return [prepared.positive] if prepared.positive else []
    if settings.positive:
        with user_errors("leaks."):
            check_positive(settings.positive, prepared.classes)
        return settings.positive
    known = positive_names(prepared.classes)
    return known if len(known) < len(prepared.classes) else []


def compose_recipes(settings: LeakSettings, invocation: Invocation, plan: Plan, run_dir: Path) -> Recipes:
    """Compose the settings of trainings and pretrainings: those of the data, the meter's, then the user's own.

    Raises:
        UserError: a setting is wrong.
    """
    data = [each for each in invocation.overrides if each.partition("=")[0].partition(".")[0] in ("data", "plugins")]
    shared = {
        "data.image_size": settings.image_size,
        **_network(settings.network),
        "logger": "[]",
        "+trainer.enable_checkpointing": "false",
    }

    def composed(command: str, own: Mapping[str, Any]) -> RunSettings:
        overrides = [f"{name}={value}" for name, value in {**shared, **own}.items()]
        found: RunSettings = invocation.compose(command, [*data, *overrides, *settings.base])
        return found.updated({"run_dir": str(run_dir)})

    train = composed("train", {"trainer.max_epochs": settings.epochs, "evidence": "off"})
    batch = min(BATCH, int((plan.clean["split"] == "train").sum()))
    method = {"ssl": "simclr", "pool": "train", "probe.every_n_epochs": 0, "data.batch_size": batch}
    pretrain = composed("pretrain", {"trainer.max_epochs": settings.pretrain_epochs, **method})
    if not isinstance(train, TrainSettings) or not isinstance(pretrain, PretrainSettings):
        raise TypeError(f"composed {type(train)} and {type(pretrain)}")
    if train.trainer.devices != 1:
        raise UserError(f"leaks.base: a leak meter trains on one device, not on {train.trainer.devices}; leave it at 1")
    return Recipes(train, pretrain)


def _network(name: str) -> dict[str, str]:
    if name != "auto":
        return {"model": name}
    try:
        imagenet_state(LITE)
    except WeightsUnavailable:
        return {"model": "resnet18", "model.init": "random"}
    return {"model": "effnet_lite0", "model.init": "imagenet"}


def _fingerprint(recipes: Recipes, prepared: Prepared, n_images: int | None) -> str:
    """Return a hash of what decides the predictions of a training, its seed apart."""
    differing = names_that_may_differ(TrainSettings, "recipe")
    kept = [
        [name, value]
        for settings in (recipes.train, recipes.pretrain)
        for name, value in leaves(settings.dump())
        if not is_among(name, differing)
    ]
    return hashlib.sha256(json.dumps([kept, prepared.split_hash, n_images]).encode()).hexdigest()


def _check_same(folder: Path, fingerprint: str) -> None:
    """Refuse to go on with trainings of other settings."""
    path = folder / "made_with.json"
    if not path.exists():
        write_json(path, {"sha256": fingerprint})
    elif read_json(path, "record of a leak meter", {"sha256": str})["sha256"] != fingerprint:
        raise UserError(
            f"{folder} holds predictions of trainings with other settings or another split; choose another "
            "hydra.run.dir, or the former settings (more shares, kinds and seeds may join)"
        )


def train_all(plan: Plan, recipes: Recipes, prepared: Prepared, seeds: Sequence[int], folder: Path) -> None:
    """Run the trainings whose predictions are not there yet, and write the predictions."""
    jobs = [(training, seed) for seed in seeds for training in plan.trainings.values()]
    done = [_file(folder, *job, TEST).is_file() for job in jobs]
    images = [recipes.images(training) for training, _ in jobs]
    finished = sum(n for n, there in zip(images, done, strict=True) if there)
    with Progress("trainings", sum(images), done=finished) as progress:
        for k, ((training, seed), there) in enumerate(zip(jobs, done, strict=True)):
            if there:
                continue
            progress.advance(0, f"training {k + 1} of {len(jobs)}: {training.name}, seed {seed}")
            tables = run_training(training, recipes, prepared, seed, progress)
            for name in reversed(training.keeps):  # that of the test last: the training is finished once it is there
                content = tables[name].to_csv(index=False, float_format=FLOAT_FORMAT)
                write_text(_file(folder, training, seed, name), content)


def _file(folder: Path, training: Training, seed: int, table: str) -> Path:
    suffix = "" if table == TEST else f"_{table}"
    return folder / f"{training.name}_seed{seed}{suffix}.csv"


def _read(path: Path, positive: str | None) -> Predictions:
    with user_errors():
        table = read_predictions(path)
        return table if positive is None else table.positive_last(positive)


def _cautions(settings: AuditSettings, n_trainings: int, n_test: int) -> list[str]:
    own = settings.leaks
    found = [
        f"{n_test:,} test images of this split were scored by {quantity(n_trainings, 'training')} of the meter, of "
        "which no weights are kept: choose no model or setting by them."
    ]
    if len(own.seeds) == 1:
        found.append(
            "One training of each kind: the intervals count other lesions, not other trainings, so that a part of a "
            "difference may be chance; leaks.seeds=[0,1,2] counts both."
        )
    found.append(
        f"The network was trained for {quantity(own.epochs, 'epoch')} at {own.image_size} pixels: what leaks are worth "
        "depends on the network, the images and the length of the training, which memorises more the longer it is."
    )
    found.append(
        "Epoch and threshold chosen on the test are the best of several on these very images; their intervals do not "
        "count that choice."
    )
    if settings.data.name == "phantom":
        found.append("Trained on procedural images; no metric here applies to patients.")
    return found
