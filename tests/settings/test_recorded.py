"""A run goes on with its own recorded config; what the command line may change beside it, and what it may not."""

import copy
import functools
import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from skinlab.cli import entry, registry
from skinlab.cli.config import compose_config, register_resolvers
from skinlab.cli.continuing import continued
from skinlab.cli.registry import settings_model
from skinlab.errors import UserError
from skinlab.runs.resuming import check_same, may_differ, with_run_id
from skinlab.settings.base import create
from skinlab.settings.recorded import ADDED, check_submission_by, holds_run, leaves, read_recorded

SLOW = pytest.mark.slow  # of a kind that a fast one stands for: composing a config takes its time
GIVEN = ["data=ham10000", "data.root=/d", "data.n_folds=2", "model=resnet18", "loss=focal", "trainer=cpu"]


@functools.cache
def compose_once(command, overrides):
    register_resolvers()
    return compose_config(command, [*overrides, "run_dir=/r"])


def composed(run_dir, *overrides, command="train"):
    config = compose_once(command, overrides).copy()
    config.run_dir = str(run_dir)
    return config


def plain(config):
    return OmegaConf.to_container(config, resolve=True)


@pytest.fixture
def run(tmp_path):
    """A run directory with what a finished training of these overrides recorded."""

    def make(*overrides, command="train", trained="metrics.json"):
        config = plain(composed(tmp_path, *overrides, command=command))
        (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(config | {"run_id": "ab12"}))
        (tmp_path / trained).parent.mkdir(exist_ok=True)
        (tmp_path / trained).touch()
        return tmp_path

    return make


def gone_on(run_dir, *overrides, command="train"):
    """The config that a command line goes on with, refused where it must be."""
    config = plain(continued(composed(run_dir, *overrides, command=command), overrides, command))
    assert with_run_id(create(settings_model(command), config), run_dir).run_id == "ab12"
    return config


def test_a_pretraining_recorded_with_its_views_in_augment_goes_on(run):
    run_dir = run("ssl=dino", "views.n_small=6", "views.lesion_pairs=0.5", command="pretrain")
    recorded = read_recorded(run_dir)
    views = recorded.pop("views")
    assert recorded["ssl"].pop("_target_") == "skinlab.selfsup.dino.DINO"
    augment = {name: views.pop(name) for name in ("transform", "lesion_pairs")} | {"mixup": 0.0, "cutmix": 0.0}
    (run_dir / "config.yaml").write_text(yaml.safe_dump(recorded | {"augment": augment | {"views": views}}))
    config = gone_on(run_dir, command="pretrain")
    assert config["views"]["lesion_pairs"] == 0.5
    assert "augment" not in config
    with pytest.raises(UserError, match=r"views\.lesion_pairs=0\.5, now it is 0\.0"):
        gone_on(run_dir, "views.lesion_pairs=0.0", command="pretrain")


def test_a_training_recorded_before_a_setting_was_there_goes_on(run):
    run_dir = run(*GIVEN)
    recorded = read_recorded(run_dir)
    for name, value in ADDED.items():
        group, setting = name.split(".")
        assert recorded[group].pop(setting) == value
    (run_dir / "config.yaml").write_text(yaml.safe_dump(recorded))
    config = gone_on(run_dir, *GIVEN)
    assert {name: value for name, value in leaves(config) if name in ADDED} == ADDED


@pytest.mark.parametrize("again", [[], GIVEN, pytest.param(["loss=focal", "data.n_folds=2"], marks=SLOW)])
def test_a_directory_alone_goes_on_with_its_own_settings(run, again):
    run_dir = run(*GIVEN)
    assert gone_on(run_dir, *again) | {"run_id": "ab12"} == read_recorded(run_dir)


def test_what_may_differ_is_changed_beside_it(run):
    run_dir = run(*GIVEN, "logger=tensorboard", "evidence=off")
    free = ["data.root=/moved", "data.num_workers=3", "trainer.max_epochs=20", "logger=csv", "evidence.level=0.9"]
    config = gone_on(run_dir, *free)
    assert (config["data"]["root"], config["data"]["reader"]["root"], config["data"]["num_workers"]) == (
        *("/moved", "/moved", 3),
    )
    assert (config["trainer"]["max_epochs"], config["loss"]["gamma"], config["data"]["n_folds"]) == (20, 2.0, 2)
    assert (list(config["logger"]), config["evidence"]["level"], config["evidence"]["n_draws"]) == (["csv"], 0.9, 2000)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.accumulate_grad_batches=4", "trainer.accumulate_grad_batches=1, now it is 4"),
        ("trainer.limit_train_batches=1", "trainer.limit_train_batches=1.0, now it is 1"),
        (
            "trainer.max_epochs=3",
            "trainer.max_epochs=12, now it is 3; the number of epochs may be raised, not lowered; choose another",
        ),
        ("loss=ce", "loss=focal, now it is ce; choose another hydra.run.dir or the former settings"),
        ("loss=ldam", "loss=focal, now it is ldam; choose another hydra.run.dir"),
        pytest.param("model=resnet34", "model.name=resnet18, now it is resnet34", marks=SLOW),
        pytest.param("finetune=full", "model.freeze_epochs=3, now it is 0", marks=SLOW),
        pytest.param("trainer=auto", "trainer.accelerator=cpu, now it is auto", marks=SLOW),
        ("experiment=demo", "data."),
        pytest.param("debug=fast", "trainer.limit_train_batches=1.0, now it is 2", marks=SLOW),
        ("+optimizer.lr_reference_batch=256", "optimizer.lr_reference_batch=None, now it is 256"),
    ],
)
def test_what_is_not_free_is_refused_by_its_name(run, word, message):
    run_dir = run(*GIVEN, "finetune=lp_ft")
    with pytest.raises(UserError, match=re.escape(f"{run_dir} holds a run with {message}")) as error:
        gone_on(run_dir, word)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("same_command", [False, pytest.param(True, marks=SLOW)])
@pytest.mark.parametrize(("recipe", "frozen"), [("linear_probe", 8), ("lp_ft", 1), pytest.param("full", 0, marks=SLOW)])
def test_more_epochs_keep_the_recipe(run, recipe, frozen, same_command):
    words = [*GIVEN, f"finetune={recipe}"]
    run_dir = run(*words, "trainer.max_epochs=2")
    config = gone_on(run_dir, *(words if same_command else []), "trainer.max_epochs=8")
    assert (config["trainer"]["max_epochs"], config["model"]["freeze_epochs"]) == (8, frozen)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data.test_fraction", None),
        ("model.compile", None),
        ("optimizer", None),
        ("optimizer.lr", None),
        ("scheduler.name", None),
        ("evidence.positive", None),
        ("semi", "x"),
        ("trainer.num_nodes", "x"),
        ("callbacks.monitor", []),
    ],
)
def test_a_record_without_a_setting_or_with_one_of_another_kind_is_damaged(run, name, value):
    recorded = read_recorded(run_dir := run(*GIVEN))
    *groups, key = name.split(".")
    group = functools.reduce(lambda node, each: node[each], groups, recorded)
    group.pop(key)
    if value is not None:
        group[key] = value
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(recorded))
    with pytest.raises(UserError, match=rf"config\.yaml is damaged \(.*{name}.*; restore it"):
        gone_on(run_dir)


def test_a_run_keeps_what_it_first_decided_about_compiling(run):
    config = plain(composed(run_dir := run(*GIVEN, "model.compile=true"), *GIVEN, "model.compile=auto"))
    kept = with_run_id(create(settings_model("train"), config), run_dir)
    assert kept.model.compile is True
    config["model"]["compile"] = False
    assert with_run_id(create(settings_model("train"), config), run_dir).model.compile is False


def test_a_run_of_another_command_is_named(run):
    with pytest.raises(UserError, match=r"holds a run of skinlab\.train; choose another hydra\.run\.dir"):
        gone_on(run(*GIVEN), command="pretrain")


@pytest.mark.parametrize("content", ["", "a: [", "- 1", "seed: 0\n", "\x00"])
def test_a_damaged_record_is_reported(run, content):
    run_dir = run(*GIVEN)
    (run_dir / "config.yaml").write_text(content)
    with pytest.raises(UserError, match=r"config\.yaml (can't be read|is damaged)") as error:
        gone_on(run_dir)
    (run_dir / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml can't be read"):
        gone_on(run_dir)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_start_that_trained_no_step_holds_nothing(run, resume):
    run_dir = run(*GIVEN, trained="checkpoints/.best.ckpt.tmp")
    assert not holds_run(run_dir)
    config = plain(composed(run_dir, "loss=ce", f"resume={resume}"))
    assert with_run_id(create(settings_model("train"), config), run_dir).run_id != "ab12"


@pytest.mark.parametrize("trained", ["checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.json"])
def test_a_checkpoint_or_metrics_hold_a_run(run, trained):
    assert holds_run(run(*GIVEN, trained=trained))


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_every_setting_is_refused_unless_its_field_says_that_it_may_differ(run, command):
    recorded = read_recorded(run_dir := run("logger=[]", command=command))
    names = [name for name, _ in leaves(recorded) if name != "trainer.max_epochs" and not name.startswith("evidence.")]
    for name in names:
        config = copy.deepcopy(recorded)
        *groups, key = name.split(".")
        group = functools.reduce(lambda node, each: node[each], groups, config)
        group[key] = 1 if name == "model.freeze_epochs" else "another"
        if may_differ(name):
            check_same(config, recorded, run_dir)
        else:
            with pytest.raises(UserError, match=re.escape(f"holds a run with {name}=")):
                check_same(config, recorded, run_dir)
    assert sum(map(may_differ, names)) == (15 if command == "train" else 14)


def test_the_command_is_given_the_recorded_config(run, monkeypatch):
    run_dir, seen = run(*GIVEN), []
    monkeypatch.setattr(sys, "argv", ["train", f"hydra.run.dir={run_dir}", "trainer.max_epochs=20"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    for side_effect in ("log_to_terminal", "set_up_threads"):
        monkeypatch.setattr(entry, side_effect, lambda *_: None)
    monkeypatch.setattr(registry, "load", lambda name: lambda settings, _: seen.append(settings))
    entry.run_command("train")
    (settings,) = seen
    expected = read_recorded(run_dir)
    expected["trainer"]["max_epochs"] = 20
    assert settings.dump() | {"run_id": "ab12"} == expected


def test_a_submission_is_checked_by_the_out_of_fold_predictions_of_its_model(tmp_path):
    for name in ("SWEEP/0", "BOTH/predictions"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "SWEEP" / "0" / "config.yaml").write_text(json.dumps({"data": {"name": "dsm2025", "root": "/dsm"}}))
    sweep = check_submission_by(Path("s.csv"), [str(tmp_path / "SWEEP")])
    assert sweep.endswith(f"check=s.csv predictions={tmp_path}/SWEEP data=dsm2025 data.root=/dsm")
    both = check_submission_by(Path("s.csv"), [f"{tmp_path}/BOTH/model.bundle"])
    assert both.endswith(f"predictions={tmp_path}/BOTH data=dsm2025 data.root=DIR")
    assert "predictions=SWEEP " in check_submission_by(Path("s.csv"), ["A", "B"])
