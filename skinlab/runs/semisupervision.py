"""Semi-supervision in a training run: its strategy and the pool's part of the batches, from the config."""

from __future__ import annotations

from typing import Any

from skinlab.data.datamodule import SkinDataModule
from skinlab.errors import UserError
from skinlab.models.strategy import Strategy
from skinlab.settings.part import build

BATCHES = ("pool_ratio", "weak", "strong")  # settings of the batches; the rest are the strategy's


def pool_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the data module must know to add a pool part to its training batches; nothing without a strategy.

    Raises:
        UserError: the ratio is no whole number above 0.
    """
    semi = config["semi"]
    if semi["name"] == "none":
        return {}
    if not isinstance(semi["pool_ratio"], int) or semi["pool_ratio"] < 1:
        raise UserError(f"semi.pool_ratio={semi['pool_ratio']}: give a whole number of pool images, at least 1")
    return {key: semi[key] for key in BATCHES}


def build_strategy(config: dict[str, Any], datamodule: SkinDataModule) -> Strategy | None:
    """Build the strategy of a config.

    Its prior is the config's, else :func:`default_prior`.

    Raises:
        UserError: there is no pool to learn from, or a setting that does not go with the others.
    """
    settings = {key: value for key, value in config["semi"].items() if key not in BATCHES}
    name = settings.pop("name")
    if name == "none":
        return None
    if not len(datamodule.rows("pool")):
        raise UserError(
            f"semi={name}: the data has no unlabeled images; give some, hide labels with data.label_budget=0.1, or set "
            "semi=none"
        )
    pool, wanted = len(datamodule.pool_rows("pool")), config["semi"]["pool_ratio"] * datamodule.batch_size
    if pool < wanted:
        raise UserError(
            f"semi={name}: the pool's {pool} images are less than the {wanted} of a step: lower data.batch_size or "
            "semi.pool_ratio"
        )
    if "prior" in settings:
        settings["prior"] = settings["prior"] or default_prior(datamodule)
        n_classes = len(datamodule.prepared.classes)
        if len(settings["prior"]) != n_classes:
            raise UserError(f"semi.prior has {len(settings['prior'])} shares for {n_classes} classes; give one each")
    if name == "mean_teacher" and config["model"]["ema_decay"] > 0:
        raise UserError("semi=mean_teacher averages the weights itself: set model.ema_decay=0")
    strategy: Strategy = build(settings)
    return strategy


def default_prior(datamodule: SkinDataModule) -> list[int]:
    """Return the labelled training images of each class, by which the pool's shares are judged.

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
            f"semi.prior: no training image of {classes[counts.index(0)]} was labelled but by data.labels, which does "
            f"not tell the pool's shares; give them for {', '.join(classes)}: semi.prior=[...]"
        )
    return counts
