"""Keep the log of a run in its directory, and print at its start what the directory will hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skinlab.errors import UserError
from skinlab.processes.signals import Stopped
from skinlab.settings.run import RunSettings
from skinlab.settings.secrets import masked
from skinlab.text import printable_lines

LOG = "log.txt"
CONFIG = "config.yaml"  # written when nothing can be refused any more
LOGGERS = {"csv": "csv/metrics.csv", "tensorboard": "tensorboard/", "wandb": "wandb/"}

log = logging.getLogger(__name__)


class RunLog(logging.Handler):
    """Appends what is logged to ``log.txt``, without secrets, as soon as the run has its ``config.yaml``.

    Until then lines are kept in memory, so that a run that is refused leaves nothing behind.

    Args:
        run_dir: of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir, self.waiting = run_dir, list[str]()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.addFilter(lambda record: record.levelno != logging.INFO or record.name.startswith("skinlab"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or keep it."""
        self.waiting.append(printable_lines(masked(self.format(record))))
        if not (self.run_dir / CONFIG).is_file():
            return
        try:
            with (self.run_dir / LOG).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in self.waiting)
            self.waiting.clear()
        except OSError:  # a full disk, which ends the run with one line where it matters; this one is tried again
            return


@contextmanager
def keeping_log(run_dir: Path) -> Iterator[None]:
    """Keep what is logged, and how the run ends, in the run directory."""
    handler, root = RunLog(run_dir), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        line = _ending(error)
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (line,), None))
        raise
    finally:
        root.removeHandler(handler)


def _ending(error: BaseException) -> str:
    """Return the line that says how a run has ended."""
    if isinstance(error, Stopped | KeyboardInterrupt):
        return "stopped by a signal"
    text = str(error) if isinstance(error, UserError | OSError) else f"{type(error).__name__}: {error}"
    return f"error: {text.strip().splitlines()[-1]}"


def announce(run_dir: Path, settings: RunSettings) -> None:
    """Log what a run will leave in its directory, and how to open it.

    Args:
        run_dir: of the run.
        settings: of the run.
    """
    pretrains = settings.find("ssl") is not None
    curves = [place for name, place in LOGGERS.items() if settings.logger.find(name) is not None]
    rows = [
        ("config.yaml  split.csv  audit.json", "settings, the part of each image, what is wrong with images"),
        (LOG, "what is printed here"),
        ("  ".join(curves), "learning curves, as they come"),
        ("checkpoints/", "best.ckpt and last.ckpt, from which the run continues"),
    ]
    if pretrains:
        rows.append(("backbone.safetensors  metrics.json", f"the backbone, for model.init={run_dir}"))
    else:
        unscored = "" if settings.find("test") else ", unscored until the test is opened"
        rows.append(("predictions/", f"val.csv, and test.csv{unscored}"))
        rows.append(("metrics.json  figures.png", "metrics of validation, and the run in a picture"))
    if settings.find("evidence") is not None:
        rows.append(("evidence.json  model_card.md", "every metric with its interval"))
        rows.append(("report.html", f"the same as a page: file://{run_dir.absolute()}/report.html"))
    lines = [f"  {name:36} {what}" for name, what in rows if name]
    log.info("run directory %s will hold\n%s", run_dir, "\n".join(lines))
