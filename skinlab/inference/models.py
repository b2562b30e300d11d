"""The models that ``ckpt=`` means: those of runs, of all runs of a sweep, of checkpoint files or bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skinlab.errors import UserError, some
from skinlab.inference.bundle import Bundle, load_bundle
from skinlab.inference.ensembling import ensemble
from skinlab.models.weights import NAME, find_checkpoint
from skinlab.settings.recipes import by_recipe, tell_apart
from skinlab.settings.recorded import how_to_finish, read_recorded

BEST = Path("checkpoints") / "best.ckpt"


def sweep_runs(place: str | Path) -> list[Path]:
    """Return the runs in a folder of runs, such as a sweep's; none where the place is something else."""
    folder = Path(place).expanduser()
    if not folder.is_dir() or any((folder / name).exists() for name in (BEST, NAME, "config.yaml")):
        return []
    return sorted(path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/config.yaml"))


def model_places(places: Sequence[str], *, only_runs: bool = False) -> list[str]:
    """Return the places of the models that are meant: of a sweep, those of all its runs.

    Args:
        places: value of ``ckpt=``: runs, sweeps, checkpoint files or bundles.
        only_runs: leave it to the caller to refuse what is neither a run nor a sweep.

    Raises:
        UserError: there is no model, or a sweep has an unfinished run, or runs of several recipes.
    """
    found: list[str] = []
    for place in places:
        runs = sweep_runs(place)
        if runs:
            _check_sweep(place, runs)
            found += map(str, runs)
        else:
            if not only_runs:
                find_checkpoint(place)
            found.append(place)
    return found


def _check_sweep(place: str, runs: Sequence[Path]) -> None:
    unfinished = [run for run in runs if not ((run / BEST).is_file() and (run / "metrics.json").is_file())]
    if unfinished:
        others = ",".join(str(run) for run in runs if run not in unfinished)
        raise UserError(
            f"ckpt={place}: {some(unfinished)}: {how_to_finish(unfinished[0])}, or give the others: "
            f"ckpt={others or 'RUN'}"
        )
    recipes = by_recipe(configs := [read_recorded(run, {}) for run in runs])
    if len(recipes) > 1:
        names = tell_apart([configs[members[0]] for members in recipes])
        counted = [f"{name or 'another'} ({len(members)})" for name, members in zip(names, recipes, strict=True)]
        first = ",".join(str(runs[i]) for i in recipes[0])
        raise UserError(
            f"ckpt={place} holds runs of {len(recipes)} recipes: {some(counted, 9)}; give those of one, such as "
            f"{names[0]}: ckpt={first}"
        )


def run_of(place: str | Path) -> Path | None:
    """Return the training run whose best checkpoint a place is; None for another file, such as a bundle."""
    path = find_checkpoint(place).absolute()
    run = path.parents[1]
    return run if path == run / BEST and (run / "config.yaml").is_file() else None


def load_models(places: Sequence[str]) -> Bundle:
    """Load models as one, which predicts the mean of their probabilities.

    Args:
        places: as :func:`model_places` gave them.

    Raises:
        UserError: one can't be read, or they don't fit together.
    """
    return ensemble([load_bundle(place) for place in places], places)
