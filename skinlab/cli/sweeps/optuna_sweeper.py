"""Choose the jobs of a sweep by Optuna: ``sweep=optuna_tpe``.

The package hydra-optuna-sweeper does the same with an Optuna that is older than 3, which can't make a study in SQLite
with the present SQLAlchemy and Alembic.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from skinlab.cli.sweeps.job import JobResult
from skinlab.cli.sweeps.job_log import read_error, read_seconds
from skinlab.cli.sweeps.sweep import FAILED_VALUE, Sweep
from skinlab.errors import UserError, nearest
from skinlab.files import claim, write_json

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from skinlab.cli.sweeps.search import Search

RESULT = "best.json"
WAIT = 2.0  # seconds between two looks whether the last trials of other processes have finished

log = logging.getLogger(__name__)


class OptunaSweeper(Sweeper):
    """Hydra's sweeper for a search; its settings are those of ``conf/hydra/sweeper/optuna.yaml``.

    Args:
        sweep: to which the jobs are added that other processes have run.
        settings: ``sampler``, ``n_trials``, ``n_jobs``, ``seed`` and ``params``.

    Raises:
        UserError: Optuna is missing, or a setting is wrong.
    """

    def __init__(self, sweep: Sweep, settings: Mapping[str, Any]) -> None:
        try:
            from skinlab.cli.sweeps.search import SAMPLERS
        except ModuleNotFoundError as error:
            raise UserError(f"an Optuna sweep needs {error.name}: pip install 'skinlab[sweep]'") from None
        self._sweep, self._settings = sweep, settings
        for name, least in (("n_trials", 1), ("n_jobs", 1), ("seed", 0)):
            if not isinstance(value := settings[name], int) or value < least:
                raise UserError(f"hydra.sweeper.{name}={value}: give a whole number from {least}")
        if (sampler := str(settings["sampler"])) not in SAMPLERS:
            hint = nearest(sampler, list(SAMPLERS))
            raise UserError(f"hydra.sweeper.sampler={sampler}: no such sampler{hint}; there are {', '.join(SAMPLERS)}")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher of the jobs."""
        self.hydra_context, self.config = hydra_context, config  # names of Hydra's
        self._launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until ``n_trials`` have finished, those of earlier starts and of other processes included."""
        from skinlab.cli.sweeps.search import Search, read_space

        params = [f"{key}={value}" for key, value in (self._settings.get("params") or {}).items()]
        space, fixed = read_space([*params, *arguments])
        if not space:
            raise UserError("nothing to search: give a setting several values, as in loss=ce,focal")
        config: Any = self.config
        folder = Path(config.hydra.sweep.dir).absolute()
        chosen = (str(self._settings["sampler"]), int(self._settings["seed"]), int(self._settings["n_trials"]))
        search = Search(folder, space, fixed, *chosen)
        OmegaConf.save(config, folder / "multirun.yaml")
        while len(search.finished()) < search.n_trials:
            if trials := search.next_trials(int(self._settings["n_jobs"])):
                self._run(search, trials)
            else:  # the last ones run in other processes
                time.sleep(WAIT)
        self._add_other_jobs(search)
        _keep_result(search)

    def _run(self, search: Search, trials: list[FrozenTrial]) -> None:
        batch = [[*_overrides(search, each), f"hydra.sweep.subdir={each.number}"] for each in trials]
        self.validate_batch_is_legal(batch)
        for directory in (search.folder / str(each.number) for each in trials):
            if directory.is_dir():  # left by a process that was killed, whose job may take a moment to end
                with claim(directory, wait=True):
                    pass
        returned = self._launcher.launch(batch, initial_job_idx=trials[0].number)
        for trial, job in zip(trials, returned, strict=True):
            search.finish(trial, float(job.return_value))

    def _add_other_jobs(self, search: Search) -> None:
        """Add the jobs that earlier starts and other processes have run, so that the table has all of them."""
        known = {job.directory for job in self._sweep.jobs}
        for trial in search.finished():
            if (directory := search.folder / str(trial.number)) not in known:
                failed = trial.value is None or trial.value >= FAILED_VALUE
                result = (1, 0.0, read_error(directory)) if failed else (0, read_seconds(directory))
                self._sweep.jobs.append(JobResult(trial.number + 1, directory, _overrides(search, trial), *result))


def _overrides(search: Search, trial: FrozenTrial) -> list[str]:
    """Return the overrides of a trial; numbers of a range have four digits, which names can be read with."""
    values = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in trial.params.items()}
    return [f"{key}={value}" for key, value in (dict(search.fixed) | values).items()]


def _keep_result(search: Search) -> None:
    """Write and log the settings of the best trial, and which settings made the difference."""
    best, importances = search.study.best_trial, search.importances()
    found = {"folder": str(best.number), "value": best.value, "overrides": _overrides(search, best)}
    write_json(search.folder / RESULT, found | {"importances": importances})
    if importances:
        shares = ", ".join(f"{key} {share:.2f}" for key, share in importances.items())
        log.info("importance of the settings: %s", shares)
