"""The flow of images of a system: found, left out and why, split, evaluated (STARD 2015, item 19)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from skinlab.assessment.systems import Run, System
from skinlab.evaluation.evidence.population_form import Flow, FlowPart
from skinlab.json_files import Keys, read_json
from skinlab.report.wording import known_split
from skinlab.tables.csv_files import read_csv

OF_POOL = {"held_out_groups": "of groups in validation or test", "copies": "copies of other pool images"}
AUDIT: Keys = {"images": int, "kept": int, "bad_images": list, "not_in_table": list, "other_formats": list}


def image_flow(system: System) -> Flow:
    """Return the flow of images of a system: of its first run's data set, or of its table.

    Raises:
        UserError: a run's ``audit.json`` or ``split.csv`` is damaged.
    """
    if system.run is not None and (system.run.path / "split.csv").is_file():
        flow = _run_flow(system.run, system)
        parts = [_evaluated_part(system, part["name"]) if part["evaluated"] else part for part in flow["parts"]]
        flow["parts"] = parts if system.not_common else flow["parts"]
        flow["kept"] -= system.not_common
    else:
        flow = _table_flow(system)
        flow["found"] += system.not_common
    if system.not_common:
        flow["left_out"]["not in every system"] = system.not_common
    return flow


def _run_flow(run: Run, system: System) -> Flow:
    """Return the flow of a run: from ``audit.json`` what was found, from ``split.csv`` what became of it."""
    rows = read_csv(run.path / "split.csv", ["image_id", "label", "group", "split"])
    split = rows["split"].where(rows["split"] != "", "not used")
    evaluated = system.sources[0]["split"]
    if system.pooled:
        n_folds = run.config["data"]["n_folds"]
        evaluated = f"cross-validation, {n_folds} folds"
        split = split.mask(split.isin(["train", "val"]), evaluated)
    place, left_out, found, pool = run.path / "audit.json", Counter[str](), len(rows), {}
    if place.is_file():
        audit: Any = read_json(place, "report of an audit", AUDIT, remedy="copy the run again, or delete it")
        left_out.update(str(each["reason"]) for each in audit["bad_images"])
        left_out = left_out if audit["kept"] < audit["images"] else Counter[str]()
        left_out.update({"not in the table": len(audit["not_in_table"]), "other formats": len(audit["other_formats"])})
        pool = audit.get("pool", {})
        found = audit["images"] + len(audit["not_in_table"]) + len(audit["other_formats"])
        if (more := audit["images"] - audit["kept"] - left_out.total() + found - audit["images"]) > 0:
            left_out["other reasons"] += more
    parts = [_part(str(name), part, evaluated) for name, part in rows.groupby(split, sort=False)]
    for part in parts:
        if part["name"] == "pool":
            part["left_out"] = {reason: pool[key] for key, reason in OF_POOL.items() if pool.get(key)}
    order = (evaluated if system.pooled else "train", "val", "test", "pool")
    parts.sort(key=lambda part: (order.index(part["name"]) if part["name"] in order else len(order), part["name"]))
    return {
        "found": found,
        "left_out": {reason: n for reason, n in left_out.items() if n},
        "kept": len(rows),
        "parts": parts,
        "evaluated": evaluated,
    }


def _part(name: str, rows: pd.DataFrame, evaluated: str) -> FlowPart:
    labels = rows["label"].where(rows["label"] != "", "without a label").value_counts()
    return {
        "name": name,
        "images": len(rows),
        "groups": rows["group"].nunique(),
        "classes": {str(label): int(n) for label, n in labels.items()},
        "evaluated": name == evaluated,
    }


def _evaluated_part(system: System, name: str) -> FlowPart:
    """Return what is evaluated, from the predictions."""
    rows = system.tables[0]
    return {
        "name": name,
        "images": len(rows),
        "groups": len(set(map(str, rows.group))),
        "classes": {name: int((rows.target == i).sum()) for i, name in enumerate(rows.classes)},
        "evaluated": True,
    }


def _table_flow(system: System) -> Flow:
    """Return the flow of a table of predictions: the rows of other splits were left out on reading."""
    first, source = system.tables[0], system.sources[0]
    part = _evaluated_part(system, known_split(source))
    other = {f"of split {name or 'no split'}": n for name, n in source.get("left_out", {}).items()}
    other |= source.get("incomplete", {})
    selection = source.get("selection", {})
    chosen: list[FlowPart] = [
        {"name": f"{name} (thresholds)", "images": n, "groups": None, "classes": {}, "evaluated": False}
        for name, n in selection.items()
    ]
    return {
        "found": len(first) + sum(other.values()) + sum(selection.values()),
        "left_out": other,
        "kept": len(first) + sum(selection.values()),
        "parts": [*chosen, part],
        "evaluated": part["name"],
    }
