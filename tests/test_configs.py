"""Every choice of every group composes, resolves and names only what it may."""

import itertools
import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class, get_method

from skinlab.cli.conf import config_directory
from skinlab.settings.part import build
from tests.choices import choices


def groups(command: str) -> list[str]:
    """The config groups of a command, but for what all commands share."""
    entries = yaml.safe_load((config_directory() / f"{command}.yaml").read_text())["defaults"]
    return [group for entry in entries if isinstance(entry, dict) for group in entry if group != "command"]


# Choice → the command that it is composed for.
CHOICES = {
    (group, name): command for command in ("pretrain", "train") for group in groups(command) for name in choices(group)
}
NEEDED = {
    ("data", "folder"): ["data.root=/d"],
    ("data", "table"): ["data.root=/d", "data.table=t.csv"],
    ("model", "timm"): ["model.name=resnet10t"],
}


every_choice = pytest.mark.parametrize(("group", "choice"), CHOICES, ids="-".join)


def of(group: str):
    return pytest.mark.parametrize("choice", [choice for each, choice in CHOICES if each == group])


@pytest.fixture
def composed(compose_train, compose_pretrain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Compose the config of the command that takes a choice."""
    monkeypatch.setenv("SKINLAB_DATA_ROOT", str(tmp_path))
    compose = {"train": compose_train, "pretrain": compose_pretrain}

    def config(group: str, choice: str):
        return compose[CHOICES[group, choice]](f"{group}={choice}", *NEEDED.get((group, choice), [])).dump()

    return config


@every_choice
def test_every_choice_composes(composed, group: str, choice: str):
    assert {"data", "model", "seed"} <= set(composed(group, choice))


@of("loss")
def test_every_loss_is_built_from_its_config(composed, choice: str):
    module = build(composed("loss", choice)["loss"], class_counts=[30, 10, 5])
    assert bool(module.state_dict()) == (choice == "group_dro"), "its weights of groups are part of a checkpoint"


@of("data")
def test_every_reader_exists(composed, choice: str):
    data = composed("data", choice)["data"]
    assert callable(get_method(data["reader"]["_target_"]))
    assert get_class(data["_target_"]).__name__ == "SkinDataModule"


@pytest.mark.parametrize(
    ("group", "choice"), [each for each in CHOICES if each[0] in ("augment", "views")], ids="-".join
)
def test_every_transform_is_built_for_a_size(composed, group: str, choice: str):
    assert callable(build(composed(group, choice)[group]["transform"])(32))


@of("model")
def test_every_model_is_one_of_timm_s(composed, choice: str):
    import timm

    assert timm.is_model(composed("model", choice)["model"]["name"])


@of("experiment")
def test_every_experiment_states_its_command_score_and_time(choice: str):
    lines = (config_directory() / "experiment" / f"{choice}.yaml").read_text().splitlines()
    top = " ".join(line for line in itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert re.search(rf"# python -m skinlab\.\w+ .*experiment={choice}\b", top)
    for fact in ("Score", "time"):
        assert re.search(rf"\b{fact}", top, re.IGNORECASE)
    assert "±" in top or "not measured" in top
