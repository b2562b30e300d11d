"""The power of a study: which differences it can detect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from skinlab.errors import UserError
from skinlab.evaluation.metric_registry import metric_in_sentence
from skinlab.evaluation.power import Design, detectable

POWER_TABLES = 200


def trainings(config: Mapping[str, Any]) -> int:
    """Return the number of trainings of an arm."""
    return len(config["folds"]) * len(config["seeds"])


def study_power(config: Mapping[str, Any], counts: list[int], rows_per_group: float = 1.0) -> dict[str, Any]:
    """Return what is assumed of two systems, and what such a study can see of each figure."""
    assumed = {key: config["power"][key] for key in ("auroc", "correlation", "seed_sd")}
    try:
        design = Design(counts, seeds=trainings(config), rows_per_group=max(rows_per_group, 1.0), **assumed)
    except ValueError as error:
        raise UserError(f"power: {error}") from None
    found = detectable(design, level=config["level"], n_tables=POWER_TABLES)
    return {"assumed": asdict(design), "figures": {name: each.to_dict() for name, each in found.items()}}


def power_words(power: Mapping[str, Any], trainings: int) -> str:
    """Say what a study can see.

    >>> figures = {"auroc_macro": {"expected": 0.9, "error": 0.01, "difference": 0.034}}
    >>> power_words({"assumed": {"counts": [1014, 59], "correlation": 0.85}, "figures": figures}, 1)
    '1,073 test images (1014 + 59) and 1 training an arm: 80 % power for a difference of 0.034 macro AUROC (of 0.90).'
    """
    counts = power["assumed"]["counts"]
    seen = ", ".join(
        f"{each['difference']:.3f} {metric_in_sentence(name)} (of {each['expected']:.2f})"
        for name, each in power["figures"].items()
    )
    return (
        f"{sum(counts):,} test images ({' + '.join(map(str, counts))}) and {trainings} "
        f"training{'s' if trainings > 1 else ''} an arm: 80 % power for a difference of {seen}."
    )
