"""Call the commands as functions of overrides; each returns an object with its files, tables and metrics."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinlab.cli.registry import COMMANDS, call, list_settings
from skinlab.errors import UserError
from skinlab.processes.cores import set_up_threads

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

TEXT = ("image_id", "group", "source", "label", "split")


@dataclass(frozen=True)
class Result:
    """The results of a command: its files, tables, metrics and evidence.

    Attributes:
        path: the run directory, or the folder or file of ``output=``.
        value: what the command returns, such as the best value of the monitored metric.
    """

    path: Path
    value: Any = None

    @property
    def paths(self) -> dict[str, Path]:
        """The files by their names below the path."""
        folder = self.path if self.path.is_dir() else self.path.parent
        files = sorted(folder.rglob("*")) if folder == self.path else [self.path]
        return {str(each.relative_to(folder)): each for each in files if each.is_file()}

    @functools.cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The CSV files by their names without suffix, such as ``predictions/test``."""
        return {
            name.removesuffix(".csv"): _read_table(path) for name, path in self.paths.items() if path.suffix == ".csv"
        }

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``, empty where there is none."""
        return self._json("metrics.json")

    @functools.cached_property
    def evidence(self) -> dict[str, Any]:
        """The content of ``evidence.json`` in its present format, empty where there is none."""
        from skinlab.evaluation.evidence.upgrade import upgrade_evidence

        content = self._json("evidence.json")
        return upgrade_evidence(content) if content else {}

    def _json(self, name: str) -> dict[str, Any]:
        from skinlab.json_files import read_json

        path = self.path / name
        content: dict[str, Any] = read_json(path, name, {}) if path.is_file() else {}
        return content


def _read_table(path: Path) -> pd.DataFrame:
    """Return a CSV file; ids and names are text, also those of digits or such as NA."""
    import pandas as pd

    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    text = [name for name in TEXT if name in table]
    return table.assign(**{name: table[name].fillna("") for name in text})


def run(command: str, overrides: Sequence[str] = ()) -> Result:
    """Run a command in this process.

    Args:
        command: one of :data:`skinlab.cli.registry.COMMANDS`.
        overrides: as on the command line, such as ``["data=ham10000", "data.root=DIR", "hydra.run.dir=RUN"]``.

    Raises:
        UserError: whatever has to be corrected, in one line.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from skinlab.cli.command_line import name_as_typed
    from skinlab.cli.config import explain, invocation, resolved, settings_of
    from skinlab.cli.continuing import continued
    from skinlab.cli.system_errors import explain_os_error

    config: dict[str, Any] = {}
    try:
        with _composed(command, overrides) as (cfg, task_overrides):
            cfg = continued(cfg, task_overrides, command)
            config = resolved(cfg)
            settings = settings_of(command, config)
            with _set_up(config):
                value = call(command, settings, invocation(command, overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, command, overrides)) from None
    except UserError as error:
        message = name_as_typed(str(error), overrides, COMMANDS[command].aliases)
        if message == str(error):
            raise
        raise UserError(message) from error
    except OSError as error:
        line = explain_os_error(error, config)
        if line is None:
            raise
        raise UserError(line) from error
    place = config.get("run_dir") or config.get("output") or config["data"]["root"]
    return Result(Path(str(place)).expanduser().absolute(), value)


@contextmanager
def _composed(command: str, overrides: Sequence[str]) -> Iterator[tuple[DictConfig, list[str]]]:
    """Yield the config of a command and its overrides without Hydra's, while Hydra's own config is set for it."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from skinlab.cli.command_line import prepare_command_line
    from skinlab.cli.config import compose_config, register_resolvers
    from skinlab.cli.plugins import enable_plugins

    register_resolvers()
    prepared = prepare_command_line(overrides, list_settings(command), COMMANDS[command].aliases)
    if flag := next((each for each in prepared if each.startswith("-")), None):
        raise UserError(f"{flag}: a flag of the command line; write settings as key=value")
    enable_plugins(prepared)
    cfg = compose_config(command, prepared, with_hydra=True)
    hydra, before = HydraConfig.instance(), HydraConfig.instance().cfg
    try:
        hydra.set_config(cfg)
        directory = Path(HydraConfig.get().run.dir).absolute()
        OmegaConf.set_readonly(cfg.hydra, False)
        cfg.hydra.runtime.output_dir = str(directory)
        hydra.set_config(cfg)
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        yield own, list(HydraConfig.get().overrides.task)
    finally:
        hydra.cfg = before


@contextmanager
def _set_up(config: Mapping[str, Any]) -> Iterator[None]:
    """Set up threads and logging as a command does, and restore them; logging that is configured already stays."""
    from skinlab.cli.entry import count_sharers, log_to_terminal

    environment, root, lightning = dict(os.environ), logging.getLogger(), logging.getLogger("pytorch_lightning")
    levels, torch = (root.level, lightning.level), sys.modules.get("torch")
    n_threads = torch.get_num_threads() if torch else 0
    set_up_threads(count_sharers(config))
    if torch and "OMP_NUM_THREADS" not in environment and "OMP_NUM_THREADS" in os.environ:  # which it has read already
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    plain = not root.handlers
    try:
        with warnings.catch_warnings():
            if plain:
                log_to_terminal()
            yield
    finally:
        if plain:
            logging.captureWarnings(False)
            root.handlers.clear()
            root.setLevel(levels[0])
            lightning.setLevel(levels[1])
        os.environ.clear()
        os.environ.update(environment)
        if torch:
            torch.set_num_threads(n_threads)


def function(command: str) -> Callable[[Sequence[str]], Result]:
    """Return a command as a function of its overrides."""

    def run_with(overrides: Sequence[str] = ()) -> Result:
        return run(command, overrides)

    run_with.__name__ = run_with.__qualname__ = command
    run_with.__doc__ = f"{COMMANDS[command].summary}, see :func:`skinlab.cli.api.run`."
    return run_with
