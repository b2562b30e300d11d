"""The power of a study: which differences its verdicts can detect."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skinlab.errors import user_errors
from skinlab.evaluation.metrics.registry import metric_in_sentence
from skinlab.evaluation.statistics.power import Design, detectable
from skinlab.evaluation.statistics.study import name_share
from skinlab.json_files import read_json
from skinlab.settings.commands.study import StudySettings
from skinlab.studies.controls import controls_of

POWER_TABLES = 200
AUROC = "auroc_macro"
Trained = Collection[tuple[str, float]]  # arms and budgets


def study_power(
    settings: StudySettings,
    counts: Sequence[int],
    rows_per_group: float = 1.0,
    *,
    trained: Trained | None = None,
    shares: Mapping[float, float] | None = None,
    known_sd: Mapping[float, float] | None = None,
) -> dict[str, Any]:
    """Return what is assumed of two systems, and the difference of each metric that a verdict detects, by budget.

    A verdict is one of several, and needs a gain over every control: both count.

    Args:
        settings: of the study.
        counts: test images of each class.
        rows_per_group: mean images of a group.
        trained: the arms and the budgets they are trained at; all of the settings by default.
        shares: budget → share of the labels, for budgets that are numbers of images.
        known_sd: budget → standard deviation of the AUROC between trainings of this study, where it has some.

    Raises:
        UserError: the assumptions contradict each other.
    """
    trained = _all(settings) if trained is None else trained
    verdicts = {budget: _controls(settings, trained, budget) for budget in settings.budgets}
    n_verdicts = max(1, sum(map(len, verdicts.values())))
    level, known_sd = 1 - (1 - settings.level) / n_verdicts, known_sd or {}
    budgets = []
    for budget in settings.budgets:
        seed_sd = known_sd.get(budget, assumed_sd(settings, (shares or {}).get(budget, budget)))
        with user_errors("power: "):
            design = Design(
                list(counts),
                seeds=settings.n_trainings,
                rows_per_group=max(rows_per_group, 1.0),
                auroc=settings.power.auroc,
                correlation=settings.power.correlation,
                seed_sd=seed_sd,
            )
        n_controls = max(verdicts[budget], default=1)
        found = detectable(design, level=level, n_controls=n_controls, n_tables=POWER_TABLES)
        row = {"budget": budget, "own_seeds": budget in known_sd, "controls": n_controls, "assumed": asdict(design)}
        budgets.append(row | {"metrics": {name: asdict(each) for name, each in found.items()}})
    return {"verdicts": n_verdicts, "level": level, "budgets": budgets}


def recorded_power(path: Path, settings: StudySettings, jobs: Collection[str]) -> dict[str, Any] | None:
    """Return the power that a study of the same settings and runs has recorded; None where there is none.

    Args:
        path: of its record.
        settings: of the study.
        jobs: names of its runs.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    content: dict[str, Any] = read_json(path, "record of a study", {"runs": dict})
    provenance, power = content.get("provenance"), content.get("power")
    same = isinstance(provenance, dict) and provenance.get("config") == json.loads(json.dumps(settings.dump()))
    same = same and set(content["runs"]) == set(jobs)
    return power if same and isinstance(power, dict) and "sentence" in power else None


def known_seed_sd(path: Path) -> dict[float, float]:
    """Return budget → standard deviation of the AUROC between the seeds of a study that has trained some already.

    Args:
        path: of its record; nothing is known where there is none.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return {}
    content: dict[str, Any] = read_json(path, "record of a study", {"runs": dict})
    found = {row["budget"]: (row.get("seed_sd") or {}).get(AUROC) for row in content.get("budgets") or []}
    return {budget: sd for budget, sd in found.items() if sd is not None and np.isfinite(sd)}


def assumed_sd(settings: StudySettings, share: float) -> float:
    """Return the assumed standard deviation between seeds at a share of the labels, interpolated on a log scale."""
    assumed = settings.power.seed_sd
    if not isinstance(assumed, Mapping):
        return assumed
    known = sorted(assumed)
    smallest = known[0] if share > 1 else share  # a number of images of unknown share: the larger variation
    return float(np.interp(np.log(smallest), np.log(known), [assumed[each] for each in known]))


def _all(settings: StudySettings) -> Trained:
    """Return all arms at all budgets, but for those whose training needs a pool and has none."""
    recipes = settings.recipes
    return [(a, b) for a in settings.arms for b in settings.budgets if b != 1 or recipes[a].needs_pool != "train"]


def _controls(settings: StudySettings, trained: Trained, budget: float) -> list[int]:
    """Return the number of controls of each verdict at a budget."""
    arms = [arm for arm in settings.arms if (arm, budget) in trained]
    wanted = {arm: controls_of(settings.recipes[arm]).at(has_pool=budget != 1) for arm in arms}
    return [len(each) for each in wanted.values() if each and set(each) <= set(arms)]


def power_sentence(power: Mapping[str, Any], n_trainings: int) -> str:
    """Return a sentence about the power of a study.

    >>> metrics = {"auroc_macro": {"expected": 0.9, "standard_error": 0.01, "difference": 0.134}}
    >>> assumed = {"counts": [1014, 59], "correlation": 0.85, "seed_sd": 0.028}
    >>> row = {"budget": 0.05, "own_seeds": False, "controls": 3, "assumed": assumed, "metrics": metrics}
    >>> print(power_sentence({"verdicts": 5, "level": 0.99, "budgets": [row]}, 3).partition(" Smaller")[0])
    1,073 test images (1014 + 59) and 3 trainings an arm. 80 % power (5 verdicts counted) for a true difference of: \
0.134 macro AUROC (of 0.90: out of reach) at 5 % of the labels (from all 3 controls; SD of 0.028 between seeds, \
assumed).
    """
    counts = power["budgets"][0]["assumed"]["counts"]
    found = "; ".join(_budget_words(each) for each in power["budgets"])
    several = f" ({power['verdicts']} verdicts counted)" if power["verdicts"] > 1 else ""
    single = " With one training an arm there is no verdict on the recipe, and this is of the weights." * (
        n_trainings == 1
    )
    any_beyond = any(out_of_reach(each) for row in power["budgets"] for each in row["metrics"].values())
    beyond = " What is out of reach needs more seeds or test images." * any_beyond
    return (
        f"{sum(counts):,} test images ({' + '.join(map(str, counts))}) and {n_trainings} "
        f"training{'s' if n_trainings > 1 else ''} an arm. 80 % power{several} for a true difference of: {found}. "
        f"Smaller differences are found in fewer than four of five such studies.{beyond}{single}"
    )


def out_of_reach(power: Mapping[str, float]) -> bool:
    """Return whether no gain is as large as the detectable difference, since the metric can't exceed 1.

    >>> out_of_reach({"expected": 0.9, "difference": 0.134}), out_of_reach({"expected": 0.9, "difference": 0.05})
    (True, False)
    """
    return power["difference"] > 1 - power["expected"]


def _budget_words(row: Mapping[str, Any]) -> str:
    detected = ", ".join(
        f"{each['difference']:.3f} {metric_in_sentence(name)} (of {each['expected']:.2f}"
        f"{': out of reach' if out_of_reach(each) else ''})"
        for name, each in row["metrics"].items()
    )
    controls = f"from all {row['controls']} controls; " if row["controls"] > 1 else ""
    origin = "by this study's own" if row["own_seeds"] else "assumed"
    seed_sd = f"SD of {row['assumed']['seed_sd']:.3f} between seeds, {origin}"
    return f"{detected} at {name_share(row['budget'])} ({controls}{seed_sd})"
