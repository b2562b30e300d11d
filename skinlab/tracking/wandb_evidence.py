"""Log an evaluation on Weights & Biases: its metrics with intervals, its comparisons and its report."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinlab.evaluation.metrics.operating_points import OF_POSITIVE
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.settings.groups import WandbSettings

log = logging.getLogger(__name__)

COLUMNS = ("difference", "low", "high", "p", "p_holm", "p_floor", "detectable")


def log_evidence(evidence: Mapping[str, Any], output: Path, *, enabled: bool) -> None:
    """Log an evaluation as a W&B run of its own; an error of W&B is a warning.

    Args:
        evidence: as written.
        output: its folder, with ``report.html``; takes W&B's own files, in ``wandb/``.
        enabled: whether ``wandb=true``; W&B and Lightning are imported only then.
    """
    if not enabled:
        return
    from skinlab.tracking.fault_tolerant_loggers import first_line
    from skinlab.tracking.wandb_run import open_wandb

    project = os.environ.get("WANDB_PROJECT", "skinlab")
    settings = WandbSettings(project=project, entity=None, name=None, group=None, tags=["evaluation"], offline=False)
    config = {**evidence["provenance"]["config"], "run_id": secrets.token_hex(4)}
    try:
        logger = open_wandb(settings, output, config)
        done = False
        try:
            for system in evidence["systems"]:
                logger.log_summary(headline(system, system["name"]))
            logger.log_metrics(tables(evidence) | page(output))
            done = not logger.lost
        finally:
            logger.finish(done)
    except Exception as error:  # W&B fails in many ways, none of them worth an evaluation
        log.warning("W&B does not have this evaluation (%s); it is whole in %s", first_line(error), output)


def page(output: Path) -> dict[str, Any]:
    """Return the report of a folder as W&B shows it."""
    import wandb

    return {"report": wandb.Html(str(output / "report.html"), inject=False)}


def headline(system: Mapping[str, Any], name: str) -> dict[str, float]:
    """Return the metrics that the terminal shows, flat: ``name/metric``, and its ``_low`` and ``_high``.

    Sensitivity, specificity and F1 of the positive are at p ≥ 0.5 there, as in ``metrics.json``; at the threshold of a
    rule they and the threshold are ``name/at RULE/metric``.
    """
    metrics = {**(system["binary"] or {}).get("metrics", {}), **system["metrics"]}
    shown = [each.name for each in shown_metrics("terminal", "all", "positive") if each.name in metrics]
    flat = {f"{name}/{metric}": metrics[metric] for metric in shown}
    for row in system.get("thresholds") or []:
        place = f"{name}/at {row['rule']}"
        flat[f"{place}/threshold"] = {"value": row["threshold"], "low": row["low"], "high": row["high"]}
        flat |= {f"{place}/{metric}": row[metric] for metric in OF_POSITIVE if row.get(metric)}
    ends = {"": "value", "_low": "low", "_high": "high"}
    values = {f"{key}{end}": each[part] for key, each in flat.items() for end, part in ends.items()}
    return {key: float(value) for key, value in values.items() if value is not None and value == value}


def tables(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the comparisons as a W&B table, nothing where there are none."""
    import wandb

    if not evidence["comparisons"]:
        return {}
    table = wandb.Table(columns=["a", "b", "metric", "operating_point", *COLUMNS, "sentence"])
    for pair in evidence["comparisons"]:
        difference = pair["difference"]
        numbers = {"difference": difference["value"], "low": difference["low"], "high": difference["high"]}
        values = [(numbers | pair | numbers)[column] for column in COLUMNS]
        names = pair["a"], pair["b"], pair["metric"], pair.get("operating_point", "")
        table.add_data(*names, *values, pair["sentence"])
    return {"comparisons": table}
