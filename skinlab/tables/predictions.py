"""Read tables of predictions, of this project or others, with labels from a table of their own."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd

from skinlab.errors import UserError, some
from skinlab.evaluation.evidence.form import LabelsTable, TableFacts
from skinlab.evaluation.predictions import (
    Predictions,
    table_classes,
    to_predictions,
)
from skinlab.tables.columns import (
    LABEL_NAMES,
    as_classes,
    check_named,
    of_named_classes,
    probability_columns,
    renamed,
    unmatched,
    with_probabilities,
)
from skinlab.tables.csv_files import read_csv, read_header, row_numbers
from skinlab.tables.groups import group_cautions, with_groups
from skinlab.tables.label_table import FROM_LABELS, read_labels, with_clean_text
from skinlab.tables.labels import check_one_label_each, find_column, join_ids
from skinlab.tables.metadata import read_metadata
from skinlab.tables.names import ColumnNames, Names, check_columns, columns_of, listed, setting_of, with_standard_names
from skinlab.tables.quality import precision_cautions, without_incomplete
from skinlab.tables.splits import choose_rows
from skinlab.text import clean, portion, quantity

log = logging.getLogger(__name__)

READABLE = ("image_id", "label", "group", "source", "split", "fold")
# This project's name → the tables'; of `prob` class → the tables'.
Columns = Mapping[str, Names | Mapping[str, Names]]


@dataclass(frozen=True)
class PredictionsTable:
    """A table of predictions as read.

    Attributes:
        rows: to be evaluated.
        selection: validation rows of the same table, for the choice of thresholds; None if there are none.
        split: of the rows, if the table has several.
        facts: for the evidence: counts of rows left out and of labels from another table.
        cautions: sentences for the reader of the results.
        not_common: number of images left out, since the table that lends the labels lacks them.
    """

    rows: Predictions
    selection: Predictions | None = None
    split: str | None = None
    facts: TableFacts = field(default_factory=TableFacts)
    cautions: list[str] = field(default_factory=list)
    not_common: int = 0


def read_predictions(path: Path) -> Predictions:
    """Read a predictions table whose columns have the names of this project.

    Raises:
        UserError: as :meth:`TableReader.read`.
    """
    return TableReader().read(path).rows


def read_image_ids(path: Path, columns: ColumnNames) -> pd.Series[str]:
    """Return the image ids of a predictions table, as :class:`TableReader` gives them."""
    return with_standard_names(read_csv(path), columns, (), str(path))["image_id"].map(clean)


class TableReader:
    """Reads tables of predictions with the settings of ``conf/command/tables.yaml``.

    Args:
        columns: this project's name → the tables', or a list of names of which the first that a table has counts;
            where it has none, this project's or a well-known one. Those of probabilities are ``prob``, by class.
        label_map: old label → class.
        labels: a table of labels for tables without labels, or to check those with labels.
        on_label_conflict: ``error``, or ``labels`` to use those of ``labels``.
        metadata: a table that may have the groups, patients or lesions of the images.
        common: whether images that the table which lends the labels lacks are left out; None where that can't be set.
        missing: ``error`` or ``drop`` for rows without a label or a probability; None where that can't be set.

    Raises:
        UserError: the table of labels or of metadata can't be read.
    """

    def __init__(
        self,
        columns: Columns | None = None,
        label_map: Mapping[str, str] | None = None,
        labels: str | None = None,
        on_label_conflict: str = "error",
        metadata: str | None = None,
        *,
        common: bool | None = None,
        missing: str | None = None,
    ) -> None:
        named = columns or {}
        self.columns: ColumnNames = {
            ours: each for ours, each in named.items() if each and not isinstance(each, Mapping)
        }
        prob = named.get("prob")
        self.prob = {name: listed(each) for name, each in prob.items()} if isinstance(prob, Mapping) else {}
        self.label_map = {str(old): str(new) for old, new in (label_map or {}).items()}
        self.labels, self.on_label_conflict, self.common, self.missing = labels, on_label_conflict, common, missing
        self.truth: pd.DataFrame | None = None
        self.metadata, self.other_columns = pd.DataFrame(), dict[str, list[str]]()
        self.headers, self.borrowed, self.place = dict[str, list[str]](), False, f"labels={labels}"
        if labels is not None:
            self.truth = read_labels(labels, f"labels={labels}", self.columns)
            self.other_columns[labels] = self.truth.attrs["columns"]
        if metadata is not None:
            place = f"metadata={metadata}"
            self.metadata = read_metadata(Path(metadata).expanduser(), self.columns, place)
            self.other_columns[metadata] = self.metadata.attrs["columns"]

    def for_tables(self, paths: Sequence[Path]) -> TableReader:
        """Return the reader of some tables of predictions that are read together.

        A column of the settings is in one of them at least. Where only some have labels and there is no table of
        labels, the others take those of the first one that has.
        """
        reader = copy.copy(self)
        reader.headers = {str(path): read_header(path) for path in paths}
        with_labels = [
            path
            for path, header in reader.headers.items()
            if columns_of(header, {"label": self.columns.get("label")}) or find_column(header, LABEL_NAMES)
        ]
        if self.labels is None and 0 < len(with_labels) < len(reader.headers):
            reader.labels, reader.borrowed, reader.place = with_labels[0], True, with_labels[0]
            reader.truth = read_labels(reader.place, reader.place, self.columns, LABEL_NAMES)
        return reader

    def read(self, path: Path, split: str = "auto", *, ours: bool = False) -> PredictionsTable:
        """Read and check a predictions table.

        Args:
            path: CSV file.
            split: ``auto``, ``val`` or ``test``, for a table with a column of splits.
            ours: whether it is of a run, to which ``columns`` and ``label_map`` do not apply.

        Raises:
            UserError: the table is damaged, or its rows, labels or probabilities can't be evaluated.
        """
        table = read_csv(path)
        named, prob = ({}, {}) if ours else self._named(list(table.columns), str(path))
        table = with_clean_text(
            with_standard_names(table, {} if ours else self.columns, LABEL_NAMES, str(path)), str(path)
        )
        if self.prob and not prob and not ours:
            prob = of_named_classes(probability_columns(table), self.prob, str(path))
        lines = dict(zip(table["image_id"].tolist(), row_numbers(table).tolist(), strict=True))
        table, incomplete, notes = without_incomplete(
            table,
            list(prob or probability_columns(table)),
            str(path),
            needs_label=self.truth is None or (self.borrowed and "label" in table),
            drop=None if ours or self.missing is None else self.missing == "drop",
        )
        chosen = choose_rows(table, split, str(path))
        both = pd.concat([chosen.rows, chosen.selection], ignore_index=True)
        both, facts, cautions = self._with_classes(both, path, {} if ours else self.label_map, lines, prob)
        table, selection = both[: len(chosen.rows)], both[len(chosen.rows) :]
        lacking = table["image_id"][table["label"] == ""] if "labels" in facts else table["image_id"][:0]
        if len(lacking):
            table, caution = self._with_labels_alone(table, lacking.tolist(), path)
            cautions.append(caution)
        try:
            rows = to_predictions(table, str(path))
            known = len(selection) and (selection["label"] != "").all()
            others = to_predictions(selection, str(path)) if known else None
        except ValueError as error:
            raise UserError(str(error)) from None
        facts |= chosen.facts
        if incomplete:
            facts["incomplete"] = incomplete
        if named or prob:
            facts["columns"] = named | {f"prob.{name}": theirs for theirs, name in prob.items()}
        return PredictionsTable(rows, others, chosen.split, facts, [*notes, *chosen.cautions, *cautions], len(lacking))

    def _with_labels_alone(self, table: pd.DataFrame, lacking: Sequence[str], path: Path) -> tuple[pd.DataFrame, str]:
        """Return a table without the images that the table which lends the labels lacks, and a caution of these.

        Raises:
            UserError: they are not to be left out.
        """
        if not (self.borrowed and self.common):
            remedy = ", or evaluate those that all systems have: common=true"
            raise UserError(
                f"{self.place} lacks {len(lacking)} of {quantity(len(table), 'image')} of {path} (first: "
                f"{lacking[0]}); add them, or drop those rows"
                f"{remedy if self.borrowed and self.common is not None else ''}"
            )
        left_out = quantity(len(lacking), "image", "is")
        caution = f"{left_out} left out, since {self.place} lacks the labels (common=true): {some(lacking, 5)}."
        return table[table["label"] != ""].reset_index(drop=True), caution

    def _named(self, there: list[str], place: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return which columns of a table the settings name: by this project's name, and class of each probability.

        Raises:
            UserError: no table has one of them, or this one has the probabilities of some of the classes alone.
        """
        tables = {place: there} | self.headers
        prob: ColumnNames = {f"prob.{name}": theirs for name, theirs in self.prob.items()}
        check_columns(prob, tables)
        check_columns(self.columns, tables | self.other_columns)
        if found := columns_of(there, prob):
            check_columns(prob, {place: there})
        return columns_of(there, self.columns), {column: name.removeprefix("prob.") for name, column in found.items()}

    def _with_classes(
        self,
        table: pd.DataFrame,
        path: Path,
        label_map: Mapping[str, str],
        lines: Mapping[str, int],
        prob: dict[str, str],
    ) -> tuple[pd.DataFrame, TableFacts, list[str]]:
        """Return a table with classes as labels and numbers as probabilities, with facts and cautions.

        Args:
            table: as read.
            path: its file.
            label_map: old label → class.
            lines: image id → row of the file.
            prob: column of probabilities → class; {} to find them.
        """
        ids, nothing = table["image_id"], pd.Series("", index=table.index, dtype=str)
        truth = None if self.borrowed and "label" in table else self.truth
        if truth is None and "label" not in table:
            raise UserError(
                f"{path} has no column label (found {some(table.columns, 9)}); name it"
                f"{setting_of('label', self.columns)}; or give the labels in a table of their own: labels=FILE.csv"
            )
        own = table.get("label", nothing).set_axis(ids)
        joined = None if truth is None else self._joined(truth, ids, path, own)
        theirs = (nothing if joined is None else joined["label"]).set_axis(ids)
        labels = Counter([*own.map(renamed(own, label_map)), *theirs.map(renamed(theirs, self.label_map))])
        found = prob or probability_columns(table)
        check_named({} if prob else found, labels, str(path))
        unused = unmatched(label_map if joined is None else self.label_map, [*own.unique(), *theirs.unique()])
        table, cautions = with_probabilities(table, found, str(path), labels, label_map)
        own = as_classes(own, table_classes(table), label_map, str(path), lines)
        theirs = as_classes(theirs, table_classes(table), self.label_map, self.place)
        facts: TableFacts = {}
        if unused:
            cautions.append(f"label_map renames {some(unused)}, which is the label of no image here.")
        if joined is not None:
            own, n_replaced = self._replace_labels(own, theirs, path)
            taken = {name: int((joined[name] != "").sum()) for name in FROM_LABELS if name in joined}
            facts["labels"] = cast(
                "LabelsTable", {"path": self.labels, "rows": len(table), **taken, "replaced": n_replaced}
            )
            counts = ", ".join(f"the {name} of {quantity(n, 'row')}" for name, n in taken.items())
            replacing = (
                f"; not used: {quantity(n_replaced, 'label')} of the table that would differ" if n_replaced else ""
            )
            cautions.append(f"{self.labels} gives {counts} (of {len(table)}){replacing}.")
            for name in taken:
                table[name] = joined[name].where(joined[name] != "", table.get(name, nothing))
        known = join_ids(ids, self.metadata.index.tolist(), f"{path} and the table of metadata")
        metadata = self.metadata.reindex(known).fillna("").reset_index(drop=True)
        table, units = with_groups(table, [table, *([] if joined is None else [joined]), metadata])
        cautions += [*precision_cautions(table), *units, *group_cautions(table)]
        return table.assign(label=own.to_numpy()), facts, cautions

    def _joined(self, truth: pd.DataFrame, ids: pd.Series[str], path: Path, own: pd.Series[str]) -> pd.DataFrame | None:
        """Return the rows of the table of labels in the order of the ids, "" for an id without a row.

        None for a table with labels of its own and other images, such as the other one of two data sets.
        """
        place, names = self.place, truth["image_id"].tolist()
        known = join_ids(ids, names, f"{path} and {place}")
        if (known == "").all() and (own != "").all():
            log.warning("%s names none of the images of %s, whose own labels are used", place, path)
            return None
        if (known == "").all():
            raise UserError(
                f"{place} names none of {quantity(len(ids), 'image')} of {path}: its ids are such as {names[0]}, those "
                f"of the predictions such as {ids.iloc[0]}; give the labels of these images"
            )
        doubled = known[(known != "") & known.duplicated()]
        if len(doubled):
            both = ids[known == doubled.iloc[0]]
            raise UserError(
                f"{place}: {doubled.iloc[0]} may be any of {some(both)} of {path}; give ids with folder and suffix"
            )
        check_one_label_each(truth, ids.tolist(), place)
        return truth.set_index("image_id").reindex(known).fillna("").reset_index(drop=True)

    def _replace_labels(self, own: pd.Series[str], theirs: pd.Series[str], path: Path) -> tuple[pd.Series[str], int]:
        """Return each row's label, from the table of labels if it has one, and the number of replaced labels."""
        differing = own.index[(own != "") & (theirs != "") & (own != theirs)]
        if len(differing) and self.on_label_conflict == "error":
            image = differing[0]
            raise UserError(
                f"{self.place} contradicts {portion(len(differing), len(own), 'label')} of {path} (first: image "
                f"{image} is {theirs[image]} there and {own[image]} in {path}); correct one of them, or use those of "
                "labels=: on_label_conflict=labels"
            )
        return theirs.where(theirs != "", own), len(differing)


def count_training_images(path: Path, table: Predictions) -> dict[str, Any] | None:
    """Count the images that a table of ``skinlab.predict`` marks as used in the training; None for other tables."""
    try:
        rows = read_csv(path, ("image_id", "seen"))
    except ValueError:  # no such columns
        return None
    how = rows["seen"][rows["image_id"].isin(table.image_id)]
    return {"images": len(table)} | {kind: int((how == kind).sum()) for kind in ("train", "val", "group")}
