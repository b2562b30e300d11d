"""Every choice of every group composes, resolves and names only what it may."""

from pathlib import Path

import pytest
from hydra.utils import get_class, get_method

from skinlab.cli.conf import config_directory

GROUPS = ["augment", "callbacks", "data", "debug", "evidence", "experiment", "finetune", "logger", "loss", "model"]
GROUPS += ["optimizer", "sampler", "scheduler", "semi", "sweep", "trainer"]
CHOICES = [
    (group, path.stem)
    for group in GROUPS
    for path in sorted((config_directory() / group).glob("*.yaml"))
    if path.stem != "default" or group == "callbacks"
]
NEEDED = {
    ("data", "folder"): ["data.root=/d"],
    ("data", "table"): ["data.root=/d", "data.table=t.csv"],
    ("model", "timm"): ["model.name=resnet10t"],
}


@pytest.fixture
def composed(compose_train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SKINLAB_DATA_ROOT", str(tmp_path))
    return lambda *overrides: compose_train(*overrides).dump()


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes(composed, group: str, choice: str):
    config = composed(f"{group}={choice}", *NEEDED.get((group, choice), []))
    assert {"data", "model", "loss", "seed"} <= set(config)


@pytest.mark.parametrize("loss", [choice for group, choice in CHOICES if group == "loss"])
def test_every_loss_is_built_from_its_config(composed, loss: str):
    from hydra.utils import instantiate

    module = instantiate(composed(f"loss={loss}")["loss"], class_counts=[30, 10, 5])
    assert not module.state_dict()


def test_every_reader_exists(composed):
    for group, choice in CHOICES:
        if group == "data":
            config = composed(f"data={choice}", *NEEDED.get((group, choice), []))
            assert callable(get_method(config["data"]["reader"]["_target_"]))
            assert get_class(config["data"]["_target_"]).__name__ == "SkinDataModule"


def test_every_model_is_one_of_timm_s(composed):
    import timm

    for group, choice in CHOICES:
        if group == "model":
            name = composed(f"model={choice}", *NEEDED.get((group, choice), []))["model"]["name"]
            assert timm.is_model(name)
