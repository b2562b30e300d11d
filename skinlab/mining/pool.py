"""List the images offered for annotation: a run's pool or a folder's, without labelled and held-out lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from skinlab.data.audit.checks import merge_groups
from skinlab.data.audit.fingerprint_cache import duplicates, fingerprints
from skinlab.errors import UserError
from skinlab.evaluation.predictions import COLUMNS
from skinlab.inference.inputs import find_images
from skinlab.inference.run_tables import check_files
from skinlab.json_files import read_json
from skinlab.models.weights import find_checkpoint
from skinlab.tables.columns import as_classes
from skinlab.tables.csv_files import read_csv
from skinlab.tables.label_table import read_labels
from skinlab.tables.labels import check_one_label_each, join_ids
from skinlab.text import printable, quantity

HELD_OUT = ("val", "test")


class Copies(TypedDict):
    """Pairs of copies within the pool, and pool images that are copies of held-out ones; None if not looked for."""

    copies: int | None
    copies_of_held_out: int | None


class PoolCounts(Copies):
    """How many images the pool was made of, were left out for their group, and are left with how many groups."""

    images: int
    held_out: int
    labelled: int
    repeats: int
    groups: int


UNKNOWN: Copies = {"copies": None, "copies_of_held_out": None}


@dataclass(frozen=True)
class AnnotationPool:
    """Rows of ``image_id``, ``path``, ``group``, ``label`` and ``split``.

    Attributes:
        rows: that may be offered, with their ``truth``, "" where it is unknown; the label is "".
        labelled: the run's training and validation rows; none without a run.
        counts: what the pool was made of, and what was left out.
    """

    rows: pd.DataFrame
    labelled: pd.DataFrame
    counts: PoolCounts


def runs_of(places: Sequence[str]) -> list[Path]:
    """Return the runs that checkpoints lie in; none where one is a bundle or a file elsewhere.

    Raises:
        UserError: there is no such checkpoint.
    """
    folders = [find_checkpoint(place).absolute().parent for place in places]
    inside = all(folder.name == "checkpoints" and (folder.parent / "split.csv").exists() for folder in folders)
    return [folder.parent for folder in folders] if inside else []


def open_pool(
    runs: Sequence[Path],
    place: str | None,
    *,
    classes: Sequence[str],
    columns: Mapping[str, str | None] | None = None,
    find_copies: bool = True,
    missing_ok: bool = False,
    num_workers: int = 1,
) -> AnnotationPool:
    """List the images that may be offered.

    Left out are images of groups in the validation or test part, whose labels the next run would refuse, and
    of groups with a labelled training image.

    Args:
        runs: whose ``split.csv`` counts, of one recipe, if there are any.
        place: folder or CSV; the run's pool if left out.
        classes: of the model.
        columns: our name → that of the CSV.
        find_copies: look for copies among the images of ``place`` and of labelled ones, as the run's audit did for
            its pool.
        missing_ok: whether files may be missing.
        num_workers: processes that look for copies.

    Raises:
        UserError: no image is left, or images are missing.
    """
    run = runs[0] if runs else None
    table = _splits(runs, classes) if runs else _empty()
    pool, copies = _run_pool(run, table) if place is None else _input_pool(place, table, missing_ok, columns)
    if place is not None and find_copies:
        pool, table, copies = _with_copies(pool, table, num_workers)
    labelled = table[table["split"].isin(["train", *HELD_OUT])]
    held = pool["group"].isin(labelled["group"][labelled["split"].isin(HELD_OUT)])
    known = ~held & (pool["group"].isin(labelled["group"][labelled["split"] == "train"]) | (pool["label"] != ""))
    rows = pool[~held & ~known].reset_index(drop=True)
    n_groups = rows["group"].nunique()
    counts: PoolCounts = {
        "images": len(pool),
        **copies,
        "held_out": int(held.sum()),
        "labelled": int(known.sum()),
        "repeats": len(rows) - n_groups,
        "groups": n_groups,
    }
    if not len(rows):
        why = f"{counts['held_out']} are of validation or test groups, {counts['labelled']} of labelled ones"
        raise UserError(
            f"none of {quantity(len(pool), 'image')} is left to be labelled: {why}; give others: input=FOLDER"
        )
    reference = labelled[labelled["split"] != "test"].reset_index(drop=True)
    if not missing_ok:
        check_files([*rows["path"]], f"input={place}" if place else f"{run}/split.csv")
    check_files([*reference["path"]], f"{run}/split.csv")
    return AnnotationPool(rows.assign(truth=rows.get("hidden_label", "")), reference, counts)


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=str) for name in ("path", *COLUMNS)})


def _split(run: Path, classes: Sequence[str]) -> pd.DataFrame:
    table = read_csv(run / "split.csv", ["path", *COLUMNS])
    foreign = sorted(set(table["label"]) - {"", *classes})
    if foreign:
        raise UserError(
            f"ckpt= has other classes than {run}/split.csv, whose class {foreign[0]} is none of {', '.join(classes)}; "
            "give an unchanged run"
        )
    return table


def _splits(runs: Sequence[Path], classes: Sequence[str]) -> pd.DataFrame:
    """Return the rows of runs of one recipe, each with what it is to all of their networks together.

    An image is a pool image if it is one in every run, a training image if it is one in any; what some run validates on
    and no run trains on stays a validation image.
    """
    table, *others = [_split(run, classes) for run in runs]
    splits = pd.DataFrame({0: table["split"].set_axis(table["image_id"])})
    for i, other in enumerate(others, 1):
        splits[i] = other.set_index("image_id")["split"].reindex(splits.index)
    merged = splits[0].copy()
    for name in ("val", "train"):
        merged[(splits == name).any(axis=1)] = name
    return table.assign(split=merged.to_numpy())


def _run_pool(run: Path | None, table: pd.DataFrame) -> tuple[pd.DataFrame, Copies]:
    """Return the run's pool rows, and the copies that its audit found."""
    if run is None:
        raise UserError("input= is missing: a bundle or a checkpoint outside a run has no pool; set input=FOLDER")
    pool = table[table["split"] == "pool"].reset_index(drop=True)
    if not len(pool):
        raise UserError(f"{run} has no pool: no row of its split.csv is unlabeled; set input=FOLDER_OR_CSV")
    split = dict(zip(map(printable, table["image_id"]), table["split"], strict=True))
    if not (run / "audit.json").exists():
        return pool, UNKNOWN
    found = read_json(run / "audit.json", "audit of a run", {"duplicates": list})["duplicates"]
    try:
        pairs = [(str(pair["a"]), str(pair["b"])) for pair in found]
    except (KeyError, TypeError):
        raise UserError(f"{run}/audit.json is damaged: its duplicates are no pairs; restore it") from None
    return pool, _copies(pairs, split)


def _copies(pairs: Sequence[tuple[str, str]], split: dict[str, str]) -> Copies:
    """Count pairs of copies within the pool, and pool images that are copies of validation or test images."""
    splits = [(split.get(a, ""), split.get(b, "")) for a, b in pairs]
    held = {
        name
        for pair, parts in zip(pairs, splits, strict=True)
        for name, own, other in zip(pair, parts, parts[::-1], strict=True)
        if own == "pool" and other in HELD_OUT
    }
    return {"copies": sum(a == b == "pool" for a, b in splits), "copies_of_held_out": len(held)}


def _input_pool(
    place: str, table: pd.DataFrame, missing_ok: bool, columns: Mapping[str, str | None] | None
) -> tuple[pd.DataFrame, Copies]:
    """Return the images of a folder or table; those that the run knows keep its ids, groups and labels."""
    found = find_images(place, missing_ok=missing_ok, columns=columns)
    known = table.drop_duplicates("path").set_index("path").reindex(found["path"]).reset_index()
    rows = pd.DataFrame({"path": found["path"], "split": "pool"})
    rows["image_id"] = known["image_id"].fillna(found["image_id"])
    own = found.get("group", pd.Series("", index=found.index))
    rows["group"] = known["group"].fillna(own.where(own != "", rows["image_id"]))
    rows["label"] = known["label"].fillna("")
    if "hidden_label" in known:
        rows["hidden_label"] = known["hidden_label"].fillna("")
    return rows.drop_duplicates("image_id").reset_index(drop=True), UNKNOWN


def _with_copies(
    pool: pd.DataFrame, table: pd.DataFrame, num_workers: int
) -> tuple[pd.DataFrame, pd.DataFrame, Copies]:
    """Put copies of one picture into one group, in the pool and in the run's table alike."""
    strangers = pool[~pool["path"].isin(table["path"])]
    every = pd.concat([table, strangers], ignore_index=True)
    records, bad, _ = fingerprints(every["path"].tolist(), None, max(num_workers, 1))
    readable = every.drop(index=list(bad)).reset_index(drop=True)
    pairs = duplicates(np.delete(records, list(bad)), None)
    merged, _ = merge_groups(readable, pairs)
    group = dict(zip(merged["path"], merged["group"], strict=True))
    split = {str(row): name for row, name in enumerate(merged["split"])}
    counts = _copies([(str(a), str(b)) for a, b in zip(pairs["a"], pairs["b"], strict=True)], split)
    named = [frame.assign(group=frame["path"].map(group).fillna(frame["group"])) for frame in (pool, table)]
    return named[0], named[1], counts


def with_truth(
    pool: AnnotationPool, truth: str | None, columns: Mapping[str, str | None], classes: Sequence[str]
) -> AnnotationPool:
    """Return the pool with what is known of its labels: those of a table, else the hidden ones.

    Args:
        pool: to be offered.
        truth: CSV with ids and labels, if there is one.
        columns: our name → the table's.
        classes: of the model.

    Raises:
        UserError: the table has no label of the pool, or a label is no class or contradicts a hidden one.
    """
    ids, place = pool.rows["image_id"], f"truth={truth}"
    hidden = as_classes(pool.rows["truth"].set_axis(ids), classes, {}, "split.csv, hidden_label")
    if truth is None:
        return pool
    table = read_labels(truth, place, columns)
    check_one_label_each(table, ids.tolist(), place)
    known = join_ids(ids, table["image_id"].tolist(), place)
    found = table.set_index("image_id")["label"].reindex(known).fillna("").set_axis(ids)
    found = as_classes(found, classes, {}, place)
    if not (found != "").any():
        raise UserError(f"{place} has no label of an image of the pool, whose ids are such as {ids.iloc[0]}")
    differing = found.index[(found != "") & (hidden != "") & (found != hidden)]
    if len(differing):
        image = differing[0]
        raise UserError(
            f"{place} contradicts {len(differing)} hidden labels of the run (first: image {image} is {found[image]} "
            f"there and {hidden[image]} in split.csv); correct one of them"
        )
    return replace(pool, rows=pool.rows.assign(truth=found.to_numpy()))
