"""Log to a CSV that a continued run appends to, and to W&B, whose failure does not stop a training."""

from __future__ import annotations

import csv
import io
import logging
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from skinlab.errors import UserError
from skinlab.files import check_held, write_text

log = logging.getLogger(__name__)


class CsvLogger(Logger):
    """A CSV with a row for each set of metrics, written at once, that a continued run appends to.

    Lightning's own deletes the rows of the first leg when the second one opens it.

    Args:
        path: the file.
        step: rows from this optimiser step on are dropped; from 0 on, whatever the file holds.

    Raises:
        UserError: the file is damaged, or can't be written.
    """

    def __init__(self, path: Path, step: int = 0) -> None:
        super().__init__()
        self.path = path
        self.columns = ["epoch", "step"]
        kept = [row for row in self._rows() if _step(row) < step] if step else []
        if step and path.exists() and (last := max(map(_step, kept), default=-1)) < step - 1:
            log.warning(
                "%s ends at step %d, the run goes on at step %d: its learning curves lack a part", path, last, step
            )
        self.columns += [name for name in (kept[0] if kept else ()) if name not in self.columns]
        write_text(self.path, self._lines(kept, header=True))

    @property
    def name(self) -> str:
        """Return the logger's name."""
        return "csv"

    @property
    def version(self) -> str:
        """Return an empty version: a run directory holds one run."""
        return ""

    @property
    def save_dir(self) -> str:
        """Return the directory of the file."""
        return str(self.path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml of the run holds the hyper-parameters."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row, adding columns for new metrics.

        Raises:
            UserError: the file can't be written.
        """
        row = {**metrics, "step": step}
        if new := [name for name in row if name not in self.columns]:
            rows = self._rows()
            self.columns += new
            write_text(self.path, self._lines(rows, header=True))
        check_held(self.path)
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._lines([row]))
        except OSError as error:
            raise UserError(
                f"can't write {self.path} ({error.strerror or error}): free some space, then continue with "
                f"hydra.run.dir={self.path.parent.parent}"
            ) from error

    def complete(self, metrics: Mapping[str, float], step: int) -> None:
        """Append a row unless the file has one of that step with a value of the first metric."""
        first = next(iter(metrics))
        if not any(_step(row) == step and row.get(first) for row in self._rows()):
            self.log_metrics(metrics, step)

    def _rows(self) -> list[dict[str, Any]]:
        """Return the rows of the file, none where there is no file."""
        if not self.path.exists():
            return []
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                rows = list(reader)
            if lacking := {"epoch", "step"} - set(reader.fieldnames or ()):
                raise ValueError(f"it has no column {min(lacking)}")
            for row in rows:
                _step(row)
        except (OSError, ValueError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{self.path} can't be continued ({reason}); restore it, or delete it to go on without the learning "
                "curves up to here"
            ) from None
        return rows

    def _lines(self, rows: Iterable[Mapping[str, Any]], header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        if header:
            writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.7g}" if isinstance(v, float) else v for name, v in row.items()})
        return text.getvalue()


def _step(row: Mapping[str, str | None]) -> float:
    """Return the step of a row, infinity for one that a killed process left unfinished."""
    return float("inf") if None in row.values() else int(row["step"] or "")


class FaultTolerantWandbLogger(WandbLogger):
    """Lightning's W&B logger, except that a failure of W&B does not stop the training."""

    lost = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics, charts or tables."""
        self._attempt(super().log_metrics, metrics, step)

    def log_summary(self, metrics: Mapping[str, Any]) -> None:
        """Set the final value of each metric."""
        self._attempt(self.experiment.summary.update, dict(metrics))

    def _attempt(self, call: Callable[..., None], *arguments: Any) -> None:
        if self.lost:
            return
        try:
            call(*arguments)
        except Exception as error:  # W&B's process fails in many ways, none of them worth a training
            self.lost = True
            log.warning("W&B stopped working (%s); going on without it", first_line(error))

    def finish(self, ok: bool) -> None:
        """End the run, and log what to do about anything not uploaded."""
        run = self.experiment
        directory = Path(run.settings.sync_dir)
        try:
            run.finish(exit_code=0 if ok else 1)
        except Exception as error:  # as above; also when the uploads take too long
            sync = f"wandb sync --include-online {shlex.quote(str(directory))}"
            log.warning("W&B has not got everything (%s); later: %s", first_line(error), sync)
        else:
            if run.offline:
                log.info("W&B is offline; to upload: wandb sync %s/offline-run-*", shlex.quote(str(directory.parent)))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
