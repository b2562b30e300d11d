"""Count the images of each run of a study before any of them starts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from skinlab.data.budget import apply_budget
from skinlab.data.expert_labels import add_labels
from skinlab.data.pool import pretraining_rows
from skinlab.data.preparation import PREPARATION, Prepared, prepare
from skinlab.settings.data import DataSettings
from skinlab.settings.part import build


class Rows:
    """Counts of the images of each stage of a study.

    Args:
        data: settings of the data.
        folds: of the study.
    """

    def __init__(self, data: DataSettings, folds: Sequence[int]) -> None:
        settings = {key: getattr(data, key) for key in PREPARATION} | {"label_budget": 1.0, "labels": None}
        self._expert_labels, self._label_map = data.labels, data.label_map
        reader = build(data.reader)
        self.prepared: dict[int, Prepared] = {
            fold: prepare(reader, audit_cache=data.cache_dir, **settings | {"fold": fold}) for fold in folds
        }
        self._manifests: dict[tuple[float, int, int], pd.DataFrame] = {}

    def manifest(self, budget: float, fold: int, seed: int) -> pd.DataFrame:
        """Return the manifest of a run."""
        key = (budget, fold, seed)
        if key not in self._manifests:
            manifest, classes = self.prepared[fold].manifest, self.prepared[fold].classes
            manifest = apply_budget(manifest, budget, seed)
            if self._expert_labels is not None:  # after the budget, as in a run
                manifest = add_labels(manifest, self._expert_labels, classes, self._label_map)
            self._manifests[key] = manifest
        return self._manifests[key]

    def labelled(self, budget: float, fold: int, seed: int) -> int:
        """Count the training images that keep their labels."""
        return int((self.manifest(budget, fold, seed)["split"] == "train").sum())

    def pretraining(self, pool: str, budget: float, fold: int, seed: int) -> int:
        """Count the images of a pretraining."""
        return int(pretraining_rows(self.manifest(budget, fold, seed), self.prepared[fold].copies, pool).sum())

    def has_pool(self, budget: float, fold: int, seed: int) -> bool:
        """Return whether any image has no label, or a hidden one."""
        return bool((self.manifest(budget, fold, seed)["split"] == "pool").any())

    @property
    def classes(self) -> list[str]:
        """The class names."""
        return next(iter(self.prepared.values())).classes

    @property
    def positive(self) -> str | None:
        """The positive one of two classes."""
        return next(iter(self.prepared.values())).positive

    @property
    def test(self) -> pd.DataFrame:
        """The rows of the locked test, which all folds share."""
        manifest = next(iter(self.prepared.values())).manifest
        return manifest[manifest["split"] == "test"]
