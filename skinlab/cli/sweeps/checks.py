"""Count the jobs of a sweep and check it as a whole, before the first job."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser

from skinlab.cli.config import compose_config
from skinlab.cli.registry import settings_model
from skinlab.cli.sweeps.sweep import is_plain
from skinlab.errors import UserError
from skinlab.settings.base import is_among, names_that_may_differ


def count_jobs(name: str, arguments: Sequence[str]) -> int | None:
    """Return the number of jobs of a sweep; None where its sweeper does not know it.

    Args:
        name: the command.
        arguments: its command line, flags included.
    """
    parser = OverridesParser.create()
    parsed = parser.parse_overrides([each for each in arguments if not each.startswith("-")])
    cfg = compose_config(name, [str(o.input_line) for o in parsed if not o.is_sweep_override()], with_hydra=True)
    if not is_plain(cfg.hydra.sweeper):
        trials = cfg.hydra.sweeper.get("n_trials")
        return trials if isinstance(trials, int) else None
    named = {each.key_or_group for each in parsed}
    params = {key: value for key, value in (cfg.hydra.sweeper.get("params") or {}).items() if key not in named}
    swept = [*parsed, *parser.parse_overrides([f"{key}={value}" for key, value in params.items()])]
    return math.prod(len(list(each.sweep_iterator())) for each in swept if each.is_sweep_override())


def check_sweep(name: str, arguments: Sequence[str]) -> None:
    """Refuse a sweep that would choose among its jobs by the test, or over the folds of several splits.

    Args:
        name: the command.
        arguments: its command line, flags included.

    Raises:
        UserError: jobs that open the test differ in other settings than fold and seed, or the folds' number varies.
    """
    parsed = OverridesParser.create().parse_overrides([each for each in arguments if not each.startswith("-")])
    swept = {each.key_or_group for each in parsed if each.is_sweep_override()}
    cfg = compose_config(name, [str(o.input_line) for o in parsed if not o.is_sweep_override()], with_hydra=True)
    named = {each.key_or_group for each in parsed}
    params = {str(key) for key in cfg.hydra.sweeper.get("params") or {} if key not in named}
    if "data.fold" in params and "data.n_folds" in swept:
        raise UserError(
            "data.n_folds with several values and sweep=folds, whose jobs are the folds of one number: start a sweep "
            "for each, such as -m sweep=folds data.n_folds=3"
        )
    if name != "train":
        return
    swept |= params
    if optimises := not is_plain(cfg.hydra.sweeper):
        _check_search(swept, str(cfg.callbacks.monitor))
    recipe = [key for key in swept if not is_among(key, names_that_may_differ(settings_model(name), "recipe"))]
    if (cfg.test or "test" in swept) and (recipe or optimises):
        what = f"jobs that differ in {', '.join(sorted(recipe))}" if recipe else "a sweeper that optimises"
        raise UserError(
            f"test=true with {what}: the best of them would be chosen by the test; leave test=true out, choose by the "
            "validation metrics, then open the test of that one: python -m skinlab.evaluate predictions=RUN split=test "
            "output=DIR"
        )


def _check_search(swept: set[str], monitor: str) -> None:
    """Refuse a search over seeds or folds, and one by a metric that does not compare its trials.

    Raises:
        UserError: the best trial would say nothing.
    """
    if lucky := sorted(swept & {"seed", "data.fold", "data.split_seed"}):
        raise UserError(
            f"{', '.join(lucky)} with several values and a sweeper that optimises, which would choose the luckiest: "
            "give one value, then repeat the best settings with -m seed=0,1,2"
        )
    own = sorted(key for key in swept if key.partition(".")[0] in ("loss", "sampler"))
    if own and monitor == "val/loss":
        raise UserError(
            f"callbacks.monitor=val/loss does not compare jobs that differ in {', '.join(own)}; search by another "
            "metric, such as callbacks.monitor=val/balanced_accuracy"
        )


def refuse_single_run(hydra: HydraConf) -> None:
    """Refuse one run of a config that has several jobs, such as that of ``sweep=folds``.

    Args:
        hydra: Hydra's own config of a command without ``-m``.

    Raises:
        UserError: the config sweeps over a setting that the command line does not set.
    """
    named = {each.key_or_group for each in OverridesParser.create().parse_overrides(list(hydra.overrides.task))}
    if swept := [str(key) for key in hydra.sweeper.get("params") or {} if key not in named]:
        what = f"sweep={choice}" if (choice := hydra.runtime.choices.get("sweep")) else "hydra.sweeper.params"
        raise UserError(f"{what} runs several jobs: add -m, or set one {', '.join(swept)}")
