"""The power of a study: which differences it can detect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from skinlab.errors import user_errors
from skinlab.evaluation.metrics.registry import metric_in_sentence
from skinlab.evaluation.statistics.power import Design, detectable
from skinlab.settings.commands.study import StudySettings

POWER_TABLES = 200


def study_power(settings: StudySettings, counts: Sequence[int], rows_per_group: float = 1.0) -> dict[str, Any]:
    """Return what is assumed of two systems, and the difference of each metric that such a study detects.

    Args:
        settings: of the study.
        counts: test images of each class.
        rows_per_group: mean images of a group.

    Raises:
        UserError: the assumptions contradict each other.
    """
    assumed = settings.power
    with user_errors("power: "):
        design = Design(
            list(counts),
            seeds=settings.n_trainings,
            rows_per_group=max(rows_per_group, 1.0),
            auroc=assumed.auroc,
            correlation=assumed.correlation,
            seed_sd=assumed.seed_sd,
        )
    found = detectable(design, level=settings.level, n_tables=POWER_TABLES)
    return {"assumed": asdict(design), "metrics": {name: asdict(each) for name, each in found.items()}}


def power_sentence(power: Mapping[str, Any], n_trainings: int) -> str:
    """Return a sentence about the power of a study.

    >>> metrics = {"auroc_macro": {"expected": 0.9, "standard_error": 0.01, "difference": 0.034}}
    >>> power_sentence({"assumed": {"counts": [1014, 59], "correlation": 0.85}, "metrics": metrics}, 1)
    '1,073 test images (1014 + 59) and 1 training an arm: 80 % power for a difference of 0.034 macro AUROC (of 0.90).'
    """
    counts = power["assumed"]["counts"]
    detected = ", ".join(
        f"{each['difference']:.3f} {metric_in_sentence(name)} (of {each['expected']:.2f})"
        for name, each in power["metrics"].items()
    )
    return (
        f"{sum(counts):,} test images ({' + '.join(map(str, counts))}) and {n_trainings} "
        f"training{'s' if n_trainings > 1 else ''} an arm: 80 % power for a difference of {detected}."
    )
