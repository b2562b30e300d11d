"""Set up semi-supervision in a training run: the strategy, and the share of the pool in a batch."""

from __future__ import annotations

from typing import Any

from skinlab.data.datamodule import SkinDataModule
from skinlab.data.pool import UNLABELED
from skinlab.errors import UserError
from skinlab.models.strategy import Strategy
from skinlab.settings.groups import SemiSettings
from skinlab.settings.part import build


def pool_settings(semi: SemiSettings) -> dict[str, Any]:
    """Return the data module's arguments for a pool part of its training batches; none without a strategy."""
    if semi.weak is None or semi.strong is None:
        return {}
    return {"pool_ratio": semi.pool_ratio, "weak": semi.weak.dump(), "strong": semi.strong.dump()}


def build_strategy(semi: SemiSettings, datamodule: SkinDataModule) -> Strategy | None:
    """Build a strategy, None for ``semi=none``.

    Its prior is that of the settings, else :func:`default_prior`.

    Raises:
        UserError: there is no pool to learn from, or a setting does not fit the data.
    """
    if semi.strategy is None or semi.pool_ratio is None:
        return None
    if not len(datamodule.rows("pool")):
        raise UserError(
            f"semi={semi.name}: the data has no unlabeled images; add some, hide labels with data.label_budget=0.1, or "
            "set semi=none"
        )
    pool, needed = len(datamodule.pool_rows(UNLABELED)), semi.pool_ratio * datamodule.batch_size
    if pool < needed:
        raise UserError(
            f"semi={semi.name}: the pool's {pool} images are less than the {needed} of a step: lower data.batch_size "
            "or semi.pool_ratio"
        )
    more: dict[str, Any] = {}
    if "prior" in semi.model_fields_set:
        more["prior"] = semi.prior or default_prior(datamodule)
        n_classes = len(datamodule.prepared.classes)
        if len(more["prior"]) != n_classes:
            raise UserError(f"semi.prior has {len(more['prior'])} shares for {n_classes} classes; give one each")
    strategy: Strategy = build(semi.strategy, **more)
    return strategy


def default_prior(datamodule: SkinDataModule) -> list[int]:
    """Return the labelled training images of each class, the expected class distribution of the pool.

    As they are and not as a sampler draws them, for the pool is drawn from the same source; and without the answers of
    ``data.labels``, whose images somebody has picked.

    Raises:
        UserError: a class has no other labels.
    """
    rows, classes = datamodule.rows("train"), datamodule.prepared.classes
    if "answered" in rows:
        rows = rows[~rows["answered"]]
    counts = rows["label"].value_counts().reindex(classes, fill_value=0).tolist()
    if 0 in counts:
        raise UserError(
            f"semi.prior: no training image of {classes[counts.index(0)]} was labelled except by data.labels, from "
            f"which the pool's shares can't be counted; give them for {', '.join(classes)}: semi.prior=[...]"
        )
    return counts
