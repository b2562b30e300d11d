"""The trials of an Optuna study in the folder of a sweep, which survives a kill and is shared by several processes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from skinlab.cli.sweeps.sweep import FAILED_VALUE
from skinlab.errors import UserError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

STUDY = "study.db"
LOCKS = ".trials"  # a lock for each trial that runs, and one for choosing the next
SECONDS_TO_LOCK = 60.0  # until SQLite gives up waiting for another process
SEEDS = 100_000  # trials of a seed
MIN_TRIALS = 10  # from which on the importance of settings is estimated
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),  # Bergstra et al., 2011
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


def read_space(overrides: Sequence[str]) -> tuple[dict[str, BaseDistribution], dict[str, str]]:
    """Return the distributions of the settings that are searched, and the values of the others.

    Args:
        overrides: in Hydra's grammar; the last one of a setting counts. ``interval(a,b)`` is a range of numbers,
            ``tag(log,interval(a,b))`` one on a logarithmic scale, and other lists of values are choices.

    >>> space, fixed = read_space(["optimizer.lr=tag(log,interval(1e-4,1e-2))", "loss=ce,focal", "seed=1", "loss=ce"])
    >>> space, fixed
    ({'optimizer.lr': FloatDistribution(high=0.01, log=True, low=0.0001, step=None)}, {'loss': 'ce', 'seed': '1'})
    """
    last = {each.get_key_element(): each for each in OverridesParser.create().parse_overrides(list(overrides))}
    space = {key: _distribution(each) for key, each in last.items() if each.is_sweep_override()}
    return space, {key: each.get_value_element_as_str() for key, each in last.items() if key not in space}


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    if not isinstance(value, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    low, high, log_scale = value.start, value.end, "log" in value.tags
    if low is None or high is None or low > high or (log_scale and low <= 0):
        raise UserError(
            f"{override.input_line}: give interval(a,b) with a below b, and a above 0 on a logarithmic scale"
        )
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log_scale)
    return FloatDistribution(float(low), float(high), log=log_scale)


@dataclass
class Search:
    """A search whose trials are kept in ``study.db`` of the folder of a sweep.

    A trial is held by the lock that the process which runs it has on a file. Where the process was killed the lock is
    free, and whoever asks for the next trial takes that one over, with the values that it had: it goes on in the same
    run directory. The values of a trial depend on the seed, its number and the finished trials only.

    Args:
        folder: of the sweep.
        space: setting → distribution.
        fixed: setting → value, of those that all trials share.
        sampler: name of one of ``SAMPLERS``.
        seed: of the sampler.
        n_trials: to be finished altogether.
    """

    folder: Path
    space: Mapping[str, BaseDistribution]
    fixed: Mapping[str, str]
    sampler: str
    seed: int
    n_trials: int

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (self.folder / LOCKS).mkdir(parents=True, exist_ok=True)
        self._choosing, self._held = FileLock(self.folder / LOCKS / "choosing"), dict[int, FileLock]()
        with self._choosing:
            arguments = {"connect_args": {"timeout": SECONDS_TO_LOCK}}
            storage = optuna.storages.RDBStorage(f"sqlite:///{self.folder / STUDY}", engine_kwargs=arguments)
            self.study = self._open(storage)

    def next_trials(self, number: int) -> list[FrozenTrial]:
        """Return up to so many trials to run: those that a killed process has left, then new ones.

        There are none where each has finished or runs in another process.
        """
        with self._choosing:
            chosen = list(itertools.islice(filter(self._take_over, self._trials(TrialState.RUNNING)), number))
            while len(chosen) < number and len(self._trials()) < self.n_trials:
                chosen.append(self._ask())
        return chosen

    def finish(self, trial: FrozenTrial, value: float) -> None:
        """Record how a trial ended.

        Args:
            trial: that this process holds.
            value: the smaller the better; one that is not finite counts as :data:`FAILED_VALUE`.
        """
        with self._choosing:
            self.study.tell(trial.number, value if math.isfinite(value) else FAILED_VALUE)
            self._release(trial.number)

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that have ended, failed jobs among them."""
        return self._trials(TrialState.COMPLETE)

    def importances(self) -> dict[str, float]:
        """Return the share of each setting in what tells good trials from others, failed ones aside; may be empty."""
        kept = [each for each in self.finished() if each.value is not None and each.value < FAILED_VALUE]
        if len(kept) < MIN_TRIALS or len({each.value for each in kept}) == 1:
            return {}
        of_finished = optuna.create_study()
        of_finished.add_trials(kept)
        return optuna.importance.get_param_importances(of_finished)

    def _open(self, storage: optuna.storages.RDBStorage) -> optuna.Study:
        """Return the study of the folder, made anew where no trial has finished with other settings.

        Raises:
            UserError: its trials have other settings, and their values can't be compared.
        """
        searched = {key: optuna.distributions.distribution_to_json(each) for key, each in self.space.items()}
        recipe = searched | dict(self.fixed)
        study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)
        known = study.user_attrs.get("recipe", recipe)
        if known != recipe and study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            names = sorted(key for key in known.keys() | recipe.keys() if known.get(key) != recipe.get(key))
            raise UserError(
                f"hydra.sweep.dir={self.folder} holds a search with other values of {', '.join(names)}: go on with the "
                "same settings, or choose another hydra.sweep.dir"
            )
        if known != recipe:
            optuna.delete_study(study_name="sweep", storage=storage)
            study = optuna.create_study(storage=storage, study_name="sweep")
        study.set_user_attr("recipe", recipe)
        return study

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in some states; without one, in any but FAIL, in which no job has run."""
        return [
            each
            for each in self.study.get_trials(deepcopy=False)
            if (each.state in states if states else each.state != TrialState.FAIL)
        ]

    def _ask(self) -> FrozenTrial:
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = SAMPLERS[self.sampler](self.seed * SEEDS + number)
        trial = self.study.ask(dict(self.space))
        self._hold(trial.number)
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _take_over(self, trial: FrozenTrial) -> bool:
        """Hold a trial that no process holds, and return whether it can run: a kill may have left it without values."""
        if trial.number in self._held or not self._hold(trial.number):
            return False
        if trial.params.keys() == self.space.keys():
            return True
        self.study.tell(trial.number, state=TrialState.FAIL)
        self._release(trial.number)
        return False

    def _hold(self, number: int) -> bool:
        lock = FileLock(self.folder / LOCKS / str(number), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._held[number] = lock
        return True

    def _release(self, number: int) -> None:
        self._held.pop(number).release()
        (self.folder / LOCKS / str(number)).unlink(missing_ok=True)
