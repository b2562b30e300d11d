"""What a submission's model predicted of labelled images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skinlab.assessment.alignment import align
from skinlab.assessment.sources import checkpoints_of
from skinlab.assessment.systems import System, find_systems
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.predictions import Predictions
from skinlab.tables.positive import positive_class
from skinlab.tables.predictions import TableReader


@dataclass(frozen=True)
class LabelledPredictions:
    """Predictions of labelled images.

    Attributes:
        rows: of two classes, the positive one last.
        of_validation: whether they are one validation part, of a run or of an ensemble of such runs.
        checkpoints: hashes of those of its model; empty where one is not known.
    """

    rows: Predictions
    of_validation: bool = False
    checkpoints: frozenset[str] = frozenset()

    @property
    def where(self) -> str:
        """Which images they are, after a noun."""
        return "of the validation part" if self.of_validation else "out of fold"


def read_labelled_predictions(
    place: str, positive: Sequence[str] | None, reader: TableReader | None = None
) -> LabelledPredictions:
    """Return the out-of-fold rows of a system, as ``predictions=`` names it.

    Args:
        place: a sweep, an ensemble, a run or a table.
        positive: the positive classes; None: the one of two by their names.
        reader: of the table.

    Raises:
        UserError: there are none, they are of several systems, or the positive class isn't known.
    """
    systems = find_systems([place], split="val", reader=reader)
    if len(systems) != 1:
        names = ", ".join(system.name for system in systems)
        raise UserError(f"predictions={place} holds {len(systems)} systems ({names}); name one of them")
    with user_errors():
        (system,) = align(systems, positive)
        splits = {each["split"] for each in system.sources}
        known = [checkpoints_of(each["meta"]) for each in system.sources]
        checkpoints = frozenset[str]().union(*known) if all(known) else frozenset[str]()
        of_validation = splits == {"val"} and not system.pooled
        return LabelledPredictions(_two_classes(system, positive), of_validation, checkpoints)


def _two_classes(system: System, positive: Sequence[str] | None) -> Predictions:
    rows = mean_predictions(system.tables)
    if positive is None and len(rows.classes) == 2:
        return rows.positive_last(positive_class(rows.classes))
    if positive is None:
        raise UserError(f"positive= is missing: name some of {', '.join(rows.classes)}, as in 'positive=[A,B]'")
    return rows if rows.classes == ["other", "positive"] else rows.binary(positive)
