"""What tells runs apart is written as it would be set."""

import copy
import functools
from typing import Any

import pytest

from skinlab.cli.config import compose_settings
from skinlab.settings.choices import config_directory
from skinlab.settings.recipes import by_recipe, tell_apart
from tests.choices import choices

FOCAL = {"_target_": "skinlab.losses.focal.Focal", "gamma": 2.0, "alpha": None}


@functools.cache
def recorded(*overrides: str) -> dict[str, Any]:
    """What the config.yaml of a run with these overrides holds."""
    dumped: dict[str, Any] = compose_settings("train", overrides, "/nowhere").dump()
    return dumped


def changed(**groups: Any) -> dict[str, Any]:
    config = copy.deepcopy(recorded())
    for name, value in groups.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) and name != "loss" else value
    return config


@pytest.mark.parametrize("group", ["model", "loss", "sampler", "augment", "semi", "optimizer", "scheduler", "finetune"])
def test_every_choice_of_a_group_is_named_by_its_file(group):
    names = [name for name in choices(group) if (group, name) != ("model", "timm")]
    configs = [recorded(f"{group}={name}") for name in names]
    first = [name.split(" ")[0] for name in tell_apart(configs)]
    assert first == [f"{group}={name}" for name in names]
    assert (config_directory() / group).is_dir()


def test_a_setting_of_a_choice_counts_among_runs_of_that_choice():
    configs = [changed(), changed(loss=FOCAL), changed(loss={**FOCAL, "gamma": 1.0})]
    assert tell_apart(configs) == ["loss=ce", "loss=focal loss.gamma=2", "loss=focal loss.gamma=1"]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([["model=resnet18", "model.init=random"], []], ["model=resnet18 model.init=random", "model=effnet_lite0"]),
        ([["optimizer=sgd", "optimizer.lr=0.5"], []], ["optimizer=sgd optimizer.lr=0.5", "optimizer=adamw"]),
        ([["loss=focal", "loss.gamma=1"], []], ["loss=focal loss.gamma=1", "loss=ce"]),
        ([["loss=focal", "loss.alpha=[1,1,1,1,1,1,2]"], []], ["loss=focal loss.alpha=[1,1,1,1,1,1,2]", "loss=ce"]),
        ([["model=resnet18", "model.init=random"], ["model.init=random"]], ["model=resnet18", "model=effnet_lite0"]),
        ([["optimizer=sgd"], []], ["optimizer=sgd", "optimizer=adamw"]),
        ([["model=effnet_b3"], []], ["model=effnet_b3", "model=effnet_lite0"]),
    ],
)
def test_a_choice_hides_no_setting_that_its_file_does_not_give(overrides, names):
    assert tell_apart([recorded(*each) for each in overrides]) == names


def test_other_settings_are_named_with_their_group():
    configs = [changed(), changed(optimizer={"lr": 0.01}), changed(optimizer={"lr": 0.1})]
    assert tell_apart(configs) == ["optimizer.lr=0.001", "optimizer.lr=0.01", "optimizer.lr=0.1"]
    assert tell_apart([changed(), changed(sampler={"power": 0.5})]) == ["sampler=none", "sampler.power=0.5"]
    assert tell_apart([changed(), changed(loss={"_target_": "my.Poly"})]) == ["loss=ce", "loss=Poly"]


def test_no_name_hides_the_sampler_and_the_finetuning():
    first = recorded("data=ham10000", "loss=focal", "sampler=weighted", "finetune=lp_ft", "model=resnet18")
    assert tell_apart([first, recorded()]) == [
        "data=ham10000 model=resnet18 loss=focal sampler=weighted finetune=lp_ft",
        "data=phantom model=effnet_lite0 loss=ce sampler=none finetune=full",
    ]
    other = [recorded("model=resnet18", "finetune=linear_probe"), recorded("optimizer=sgd", "finetune=layer_decay")]
    assert [name.split(" ")[-1] for name in tell_apart(other)] == ["finetune=linear_probe", "finetune=layer_decay"]
    assert tell_apart([changed(), changed(model={"freeze_epochs": 7})]) == ["finetune=full", "model.freeze_epochs=7"]


def test_a_grid_is_named_by_both_of_its_settings():
    small = {"name": "resnet18"}
    configs = [changed(model=m, loss=loss) for m in ({}, small) for loss in (changed()["loss"], FOCAL)]
    assert tell_apart(configs) == [
        f"model={model} loss={loss}" for model in ("effnet_lite0", "resnet18") for loss in ("ce", "focal")
    ]


def test_seeds_and_folds_are_of_one_recipe_and_told_apart_all_the_same():
    configs = [changed(seed=0), changed(seed=1), changed(loss=FOCAL)]
    assert by_recipe(configs) == [[0, 1], [2]]
    assert tell_apart(configs[:2]) == ["seed=0", "seed=1"]
    assert tell_apart([configs[0], configs[0]]) == ["", ""]
