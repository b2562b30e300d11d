"""What the runs of a model predicted on their validation images, and the thresholds that were chosen on these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skinlab.assessment.systems import combined, open_run, run_system
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import ThresholdSettings, freeze_thresholds
from skinlab.json_files import read_json
from skinlab.settings.recipes import by_recipe
from skinlab.settings.recorded import read_recorded
from skinlab.tables.predictions import TableReader
from skinlab.tables.thresholds import read_thresholds

THRESHOLDS = "thresholds.json"


def over_folds(runs: Sequence[Path]) -> bool:
    """Return whether runs are of several folds, so that they have other validation images."""
    return len({read_recorded(run, {"data.fold": int})["data"]["fold"] for run in runs}) > 1


def validation_of_members(runs: Sequence[Path]) -> list[Predictions]:
    """Return for each run of a recipe what the runs of its seed predicted on the validation images of all their folds.

    The mean of these tables is the mean of the seeds, each image predicted by networks that were not trained on it.

    Raises:
        UserError: the runs are of several recipes, or a fold is missing or there twice.
    """
    opened = [open_run(run) for run in runs]
    if len(by_recipe([run.config for run in opened])) > 1:
        raise UserError(
            f"{runs[0]} and the other runs are of several recipes; give those of one, or combine recipes by "
            "python -m skinlab.ensemble runs=A,B output=DIR, which writes a bundle"
        )
    with user_errors():
        whole = combined(runs[0].parent.name, [run_system(run, "val", TableReader()) for run in opened], "val")
    seeds = [run.config["seed"] for run in opened]
    numbers = {seed: i for i, seed in enumerate(whole.replicate_ids)} if len(whole.tables) > 1 else {}
    return [whole.tables[numbers.get(seed, 0)] for seed in seeds]


def thresholds_of_runs(runs: Sequence[Path], rule: str, sha256: str) -> list[FrozenThreshold]:
    """Return the thresholds that belong to the models of runs.

    Of one run these are those of its ``thresholds.json``. Of several runs only the one of ``rule`` is returned: it is
    chosen on the mean of their probabilities, where their folds differ on the images out of fold, for the classes and
    costs of the first run's file.

    Args:
        runs: directories of the runs.
        rule: that is wanted.
        sha256: of the one run's checkpoint.

    Raises:
        UserError: the files are missing or contradict each other, or belong to another checkpoint.
    """
    own = [read_thresholds(str(run / THRESHOLDS), "threshold") if (run / THRESHOLDS).exists() else [] for run in runs]
    if len(runs) == 1:
        _check_same(runs[0], sha256)
        return own[0]
    rows = [{row.rule: row for row in each}.get(rule) for each in own]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return []
    first = known[0]
    if any(
        (row.positive, row.cost_ratio, row.prevalence) != (first.positive, first.cost_ratio, first.prevalence)
        for row in known
    ):
        raise UserError(
            f"threshold={rule}: the {THRESHOLDS} of {runs[0].parent}'s runs are for other positive classes or costs; "
            "choose one by python -m skinlab.bundle ckpt=RUNS output=FILE.bundle"
        )
    folds = over_folds(runs)
    with user_errors(f"threshold={rule}: "):
        mean = mean_predictions(validation_of_members(runs))
        how = ThresholdSettings([rule], first.cost_ratio, prevalence=first.prevalence, positive=first.positive)
        return freeze_thresholds(mean.binary(first.positive), how, "out of fold" if folds else "val")


def _check_same(run: Path, sha256: str) -> None:
    """Refuse thresholds of other weights than those that predict."""
    place = run / "predictions" / "meta.json"
    meta = read_json(place, "facts about a table of predictions", {}) if place.exists() else {}
    if meta.get("checkpoint_sha256", sha256) != sha256:
        raise UserError(
            f"{run}/{THRESHOLDS} belongs to other weights than its checkpoints/best.ckpt; restore them, or choose a "
            "threshold by skinlab.bundle"
        )
