"""The files that predictions come from: their hash, their rows, and the meta data beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from skinlab.errors import UserError
from skinlab.evaluation.evidence.form import Source
from skinlab.evaluation.overlap import FittedOn, overlap_cautions
from skinlab.evaluation.predictions import Predictions
from skinlab.json_files import NUMBER, read_json
from skinlab.tables.predictions import PredictionsTable, count_training_images


def source(path: Path, table: Predictions) -> Source:
    """Return what the evidence says of a file: hash, split, rows, and the meta data beside it."""
    meta = _meta_beside(path)
    meta.pop("fitted_on", None)  # for :func:`fit_cautions`, and long
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    overlap: Any = count_training_images(path, table) or meta.get("training_overlap", meta.get("seen"))
    return {
        "path": str(path),
        "sha256": digest,
        "split": path.stem,
        "rows": len(table),
        "meta": meta,
        "training_overlap": overlap,
    }


def _meta_beside(path: Path) -> dict[str, Any]:
    """Return the meta data of a table of predictions; {} where there are none."""
    beside = [path.with_suffix(".meta.json"), path.parent / "meta.json"]
    return next((_read_meta(each) for each in beside if each.exists()), {})


def checkpoints_of(meta: Mapping[str, Any]) -> set[str]:
    """Return the hashes of the checkpoints that made predictions, by the meta data beside these; empty if unknown.

    >>> sorted(checkpoints_of({"members": [{"sha256": "b"}, {"sha256": "a"}], "checkpoint_sha256": "c"}))
    ['a', 'b']
    """
    members = [each["sha256"] for each in meta.get("members") or [] if isinstance(each, dict)]  # before `checkpoints`
    return set(meta.get("checkpoints") or members or [meta.get("checkpoint_sha256")]) - {None, ""}


def fit_cautions(path: Path, rows: Predictions) -> list[str]:
    """Return a sentence where rows are among those that a bundle's calibrator or weights were fitted on."""
    meta = _meta_beside(path)
    try:
        own = overlap_cautions(rows, TypeAdapter(list[FittedOn]).validate_python(meta.get("fitted_on", [])))
        return own or TypeAdapter(list[str]).validate_python(meta.get("fitted_cautions", []))
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"the meta data of {path} are damaged: fitted_on ({reason}); predict the images again"
        ) from None


def table_source(path: Path, table: PredictionsTable) -> Source:
    """Return the source of a table, with its split and the facts of its reading."""
    whole = source(path, table.rows) | ({} if table.split is None else {"split": table.split}) | table.facts
    return cast("Source", whole)


def _read_meta(path: Path) -> dict[str, Any]:
    remedy = "restore it, or remove it; the training prior and the checkpoint's hash are then unknown"
    meta: dict[str, Any] = read_json(path, "facts about a table of predictions", {"classes": list}, remedy=remedy)
    for key, types, kind in (("training_prior", NUMBER, "shares"), ("positive", str, "classes")):
        values = meta.get(key) or []
        if not isinstance(values, list) or not all(isinstance(value, types) for value in values):
            raise UserError(f"{path} is damaged: its {key} is no list of {kind}; {remedy}")
    return meta


def is_ensemble(folder: Path) -> bool:
    """Return whether a folder is one that ``skinlab.ensemble`` wrote."""
    facts = folder / "predictions" / "meta.json"
    return not (folder / "config.yaml").exists() and facts.is_file() and "method" in _read_meta(facts)


def ensemble_table(folder: Path, split: str) -> Path:
    """Return the table of an ensemble's predictions.

    Args:
        folder: of the ensemble.
        split: ``auto``, ``val`` (also the folds' validation parts together) or ``test``.

    Raises:
        UserError: it has no predictions of the split.
    """
    tables = {path.stem: path for path in sorted((folder / "predictions").glob("*.csv"))}
    wanted = {"test": ("test",), "val": ("oof", "val")}.get(split, tuple(tables))
    if found := [tables[name] for name in wanted if name in tables]:
        return found[0]
    there = ", ".join(tables) or "none"
    raise UserError(
        f"split={split}: {folder} is an ensemble without predictions of it (it has {there}); make one of them"
    )
