"""Optuna chooses the jobs of a sweep."""

import json
from types import SimpleNamespace

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus

from skinlab.cli.config import compose_config, register_resolvers
from skinlab.cli.sweeps.launchers import collecting_jobs
from skinlab.cli.sweeps.optuna_sweeper import OptunaSweeper
from skinlab.cli.sweeps.sweep import FAILED_VALUE, Sweep
from skinlab.errors import UserError

WORDS = ["sweep=optuna_tpe", "hydra.sweeper.n_trials=12", "augment=light", "loss=ce,focal"]


class FakeLauncher:
    """Ends each job at once; the lower the learning rate, the better."""

    def __init__(self, folder):
        self.folder, self.jobs = folder, []

    def launch(self, overrides, initial_job_idx):
        return [self._run(dict(word.split("=") for word in each)) for each in overrides]

    def _run(self, settings):
        self.jobs.append(settings)
        directory = self.folder / settings["hydra.sweep.subdir"]
        directory.mkdir()
        value = FAILED_VALUE if settings["loss"] == "focal" else float(settings["optimizer.lr"])
        (directory / "metrics.json").write_text(json.dumps({"best/monitor": value, "best/mode": "min"}))
        return JobReturn(status=JobStatus.COMPLETED, _return_value=value)


def make_sweeper(folder, sweep, *words):
    """The sweeper as Hydra makes it, with a launcher that runs nothing."""
    register_resolvers()

    of_hydra = [each for each in words if each.startswith("hydra.")]
    config = compose_config("train", ["sweep=optuna_tpe", *of_hydra, f"hydra.sweep.dir={folder}"], with_hydra=True)
    launcher = FakeLauncher(folder)
    context = SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=lambda **_: None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plugins, "instantiate_launcher", lambda *_, **__: launcher)
        with collecting_jobs(sweep, print):
            patch.setattr(Plugins, "instantiate_launcher", lambda *_, **__: launcher)
            sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=print)
    assert isinstance(sweeper, OptunaSweeper)
    return sweeper, launcher


def test_a_search_ends_with_its_trials_and_says_which_settings_mattered(tmp_path):
    sweep = Sweep()
    sweeper, launcher = make_sweeper(tmp_path, sweep, *WORDS)
    sweeper.sweep([each for each in WORDS if not each.startswith("hydra.")])
    assert [each["hydra.sweep.subdir"] for each in launcher.jobs] == [str(number) for number in range(12)]
    assert {each["augment"] for each in launcher.jobs} == {"light"}
    assert [job.directory for job in sweep.jobs] == [tmp_path / str(number) for number in range(12)]
    assert [job.returncode for job in sweep.jobs] == [int(each["loss"] == "focal") for each in launcher.jobs]
    best = json.loads((tmp_path / "best.json").read_text())
    kept = [each for each in launcher.jobs if each["loss"] == "ce"]
    assert best["value"] == min(float(each["optimizer.lr"]) for each in kept)
    assert launcher.jobs[int(best["folder"])]["optimizer.lr"] in str(best["overrides"])

    sweeper, launcher = make_sweeper(tmp_path, again := Sweep(), *WORDS)
    sweeper.sweep([each for each in WORDS if not each.startswith("hydra.")])
    assert launcher.jobs == [], "what has finished is not run again"
    assert len(again.jobs) == 12


def test_trials_for_a_launcher_that_runs_jobs_side_by_side_are_chosen_together(tmp_path):
    sweeper, launcher = make_sweeper(tmp_path, Sweep(), "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    batches = []
    launch = launcher.launch
    launcher.launch = lambda overrides, initial_job_idx: (
        batches.append((initial_job_idx, len(overrides))) or launch(overrides, initial_job_idx)
    )
    sweeper.sweep(["sweep=optuna_tpe"])
    assert batches == [(0, 2), (2, 2), (4, 1)]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("hydra.sweeper.sampler=tp", r"no such sampler \(did you mean tpe\?\)"),
        ("hydra.sweeper.n_trials=0", "n_trials=0: give a whole number from 1"),
        ("hydra.sweeper.n_jobs=many", "n_jobs=many: give a whole number from 1"),
    ],
)
def test_settings_of_a_search_are_checked(tmp_path, word, reason):
    with pytest.raises(UserError, match=reason):
        make_sweeper(tmp_path, Sweep(), word)


def test_a_search_without_optuna_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    monkeypatch.delitem(__import__("sys").modules, "skinlab.cli.sweeps.search", raising=False)
    with pytest.raises(UserError, match=r"pip install 'skinlab\[sweep\]'"):
        OptunaSweeper(Sweep(), {})
