"""A sweep is counted and checked before its first job."""

from contextlib import nullcontext

import pytest
from hydra.core.hydra_config import HydraConfig

from skinlab.cli.config import compose_config, register_resolvers
from skinlab.cli.sweeps.checks import check_sweep, count_jobs
from skinlab.errors import UserError


@pytest.mark.parametrize(
    ("words", "total"),
    [
        (["loss=ce,focal", "seed=0,1,2"], 6),
        (["sweep=folds"], 5),
        (["sweep=sources"], 4),
        (["sweep=sources", "data.n_folds=3"], 3),
        (["sweep=folds", "data.fold=0,1", "seed=1"], 2),
        (["seed=range(0,4)"], 4),
        (["seed=1"], 1),
        (["experiment=four_cnns"], 4),
    ],
)
def test_the_jobs_are_counted(words, total):
    register_resolvers()
    assert count_jobs("train", ["-m", *words]) == total


@pytest.mark.parametrize(("words", "folds"), [([], "0,1,2,3,4"), (["data.n_folds=3"], "0,1,2")])
def test_a_sweep_over_the_folds_has_as_many_jobs_as_folds(words, folds):
    register_resolvers()
    cfg = compose_config("train", ["sweep=folds", *words], with_hydra=True)
    assert dict(cfg.hydra.sweeper.params) == {"data.fold": folds}
    assert count_jobs("train", ["-m", "sweep=folds", "seed=0,1", *words]) == 2 * len(folds.split(","))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "phantom_effnet_lite0_ce"),
        (["sampler=weighted", "finetune=lp_ft"], "phantom_effnet_lite0_ce_weighted_lp_ft"),
        (["experiment=four_cnns", "data.root=/"], "dsm2025_resnet18_ce_weighted"),
    ],
)
def test_the_name_of_a_run_directory_has_the_sampler_and_the_finetuning(words, name):
    register_resolvers()
    cfg = compose_config("train", words, with_hydra=True)
    HydraConfig.instance().set_config(cfg)
    try:
        assert cfg.hydra.run.dir.partition("_")[2].partition("_")[2] == name
    finally:
        HydraConfig.instance().cfg = None


def test_a_sweep_without_its_data_stops_before_the_first_job(run, tmp_path):
    done = run("train", "-m", "sweep=folds", "data.n_folds=2", "data=ham10000", "data.root=/nowhere/at/all")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: data.root=/nowhere/at/all is not a folder")
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_sweep_whose_data_are_no_such_data_set_stops_before_the_first_job(run, tmp_path):
    (tmp_path / "above" / "dsm2025" / "train" / "0").mkdir(parents=True)
    (tmp_path / "above" / "dsm2025" / "train" / "0" / "1.jpg").touch()
    done = run("train", "-m", "sweep=folds", "data.n_folds=2", "data=dsm2025", f"data.root={tmp_path / 'above'}")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert f"{tmp_path / 'above'}/train/0 holds no image" in line
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_a_sweep_over_the_folds_has_one_number_of_folds(command):
    register_resolvers()
    with pytest.raises(UserError, match=r"data\.n_folds with several values and sweep=folds.*start a sweep for each"):
        check_sweep(command, ["-m", "sweep=folds", "data.n_folds=3,5"])
    check_sweep(command, ["-m", "sweep=folds", "data.n_folds=3", "seed=0,1"])
    check_sweep(command, ["-m", "data.n_folds=3,5"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["test=true", "data.fold=0,1", "seed=0,1"], ""),
        (["test=true", "sweep=folds"], ""),
        (["loss=ce,focal"], ""),
        (["test=true", "loss=ce,focal", "seed=0,1"], "jobs that differ in loss"),
        (["test=true,false", "optimizer.lr=0.1,0.2"], "jobs that differ in optimizer.lr"),
        (["test=true", "experiment=four_cnns"], "jobs that differ in model"),
    ],
)
def test_the_test_chooses_among_no_recipes(words, reason):
    register_resolvers()
    with pytest.raises(UserError, match=reason) if reason else nullcontext():
        check_sweep("train", ["-m", *words])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["test=true"], "jobs that differ in augment, loss, model.dropout, optimizer.lr"),
        (["seed=0,1"], "seed with several values and a sweeper that optimises"),
        (["callbacks.monitor=val/loss"], "val/loss does not compare jobs that differ in loss, sampler"),
        (["callbacks.monitor=val/loss", "loss=ce", "sampler=none"], ""),
        (["optimizer.lr=tag(log,interval(1e-5,1e-3))"], ""),
    ],
)
def test_a_search_is_by_what_compares_its_jobs(words, reason):
    register_resolvers()
    with pytest.raises(UserError, match=reason) if reason else nullcontext():
        check_sweep("train", ["-m", "sweep=optuna_tpe", *words])
    assert count_jobs("train", ["-m", "sweep=optuna_random", "hydra.sweeper.n_trials=7", *words]) == 7
