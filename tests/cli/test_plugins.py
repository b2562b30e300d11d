"""A package of the user's own: its parts, its config files and its entries, once plugins= names it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from skinlab.cli import conf
from skinlab.cli.config import compose_config, compose_settings
from skinlab.cli.continuing import continued
from skinlab.cli.plugins import check_plugins, enable_plugins
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.inference.bundle import FORMAT, load_bundle
from skinlab.models.prediction import VIEWS
from skinlab.settings import part
from skinlab.settings.recorded import recorded_plugins

PACKAGE = {
    "__init__.py": 'from skinlab.models.prediction import VIEWS\n\nVIEWS["mirror"] = [lambda x: x.flip(-1)]\n',
    "twice.py": """
from skinlab.losses.cross_entropy import CrossEntropy


class Twice(CrossEntropy):
    def forward(self, logits, target):
        return 2 * super().forward(logits, target)
""",
    "conf/loss/twice.yaml": "_target_: lesion_lab.twice.Twice\nlabel_smoothing: 0.0\n",
}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package that can be imported, and nothing left of it afterwards."""
    for name, content in PACKAGE.items():
        path = tmp_path / "lesion_lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(part, "PLUGINS", [])
    monkeypatch.setattr(conf, "PLUGIN_FOLDERS", [])
    monkeypatch.setattr("skinlab.cli.plugins.PLUGIN_FOLDERS", conf.PLUGIN_FOLDERS)
    yield "plugins=[lesion_lab]"
    VIEWS.pop("mirror", None)
    for name in [name for name in sys.modules if name.startswith("lesion_lab")]:
        del sys.modules[name]


def test_a_plugin_is_used_only_where_it_is_named(plugin, compose_train):
    with pytest.raises(UserError, match="loss=twice: no such choice"):
        compose_train("loss=twice")
    with pytest.raises(UserError, match="outside the allowed packages"):
        compose_train("loss._target_=lesion_lab.twice.Twice")
    assert "lesion_lab" not in sys.modules
    settings = compose_train(plugin, "loss=twice")
    assert settings.plugins == ["lesion_lab"]
    assert "mirror" in VIEWS
    assert type(part.build(settings.loss, class_counts=[1, 1])).__name__ == "Twice"
    with pytest.raises(UserError, match="did you mean twice"):
        compose_train(plugin, "loss=twicee")


def test_a_run_records_its_plugins_and_goes_on_with_them_alone(plugin, compose_train, tiny, tmp_path):
    run_dir = tmp_path / "run"
    overrides = [*tiny, plugin, "loss=twice", "model=timm", "model.name=test_resnet", "trainer.max_epochs=1"]
    train(compose_train(*overrides, run_dir=run_dir))
    assert yaml.safe_load((run_dir / "config.yaml").read_text())["plugins"] == ["lesion_lab"]
    config = OmegaConf.to_container(compose_config("train", []))
    assert recorded_plugins(run_dir) == recorded_plugins(run_dir / "checkpoints" / "best.ckpt") == ["lesion_lab"]
    with pytest.raises(UserError, match=r"name them again: 'plugins=\[lesion_lab\]'"):
        continued(OmegaConf.create(config | {"run_dir": str(run_dir)}), [], "train")
    again = OmegaConf.to_container(compose_config("train", [plugin, "loss=twice"])) | {"run_dir": str(run_dir)}
    assert continued(OmegaConf.create(again), [plugin, "loss=twice"], "train").loss["_target_"].endswith("Twice")


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        ("predict", ["ckpt={run}", "input=i", "output=o.csv"]),
        ("predict", ["ckpt={run}/checkpoints/best.ckpt", "input=i", "output=o.csv"]),
        ("evaluate", ["predictions=[{run}]", "output=o"]),
        ("evaluate", ["predictions=[{run}/predictions/test.csv]", "output=o"]),
        ("ensemble", ["runs=[{sweep},other]", "output=o"]),
        ("bundle", ["ckpt=[{run}]", "output=o.bundle"]),
        ("tta", ["ckpt={run}", "output=o"]),
        ("mine", ["ckpt={run}", "output=o"]),
    ],
)
def test_a_run_of_a_plugin_is_read_only_with_that_plugin(command, overrides, plugin, tmp_path):
    run = tmp_path / "sweep" / "0"
    for name in ("checkpoints/best.ckpt", "predictions/test.csv"):
        (run / name).parent.mkdir(parents=True)
        (run / name).touch()
    (run / "config.yaml").write_text("run_id: a\nplugins: [lesion_lab]\n")
    filled = [each.format(run=run, sweep=run.parent) for each in overrides]
    with pytest.raises(UserError, match=r"made with plugins=\[lesion_lab\]; name them again: 'plugins=\[lesion_lab\]'"):
        check_plugins(compose_settings(command, filled))
    assert "lesion_lab" not in sys.modules, "what a run names alone is never imported"
    settings = compose_settings(command, [*filled, plugin])
    check_plugins(settings)
    assert settings.dump()["plugins"] == ["lesion_lab"]


def test_a_bundle_with_a_calibrator_of_a_plugin_asks_for_it(tmp_path):
    content = {"bundle_format": FORMAT, "method": "mean", "calibrator": {"method": "smoothing"}}
    torch.save(content, tmp_path / "m.bundle")
    with pytest.raises(UserError, match=r"calibrator=smoothing is none of .*plugins=\[my_package\]"):
        load_bundle(tmp_path / "m.bundle")


@pytest.mark.slow
def test_an_arm_of_a_study_uses_the_loss_of_a_plugin(plugin, tiny, tmp_path):
    overrides = [
        *(
            each
            for each in tiny
            if not each.startswith(("trainer.max", "callbacks", "evidence", "data.batch", "model"))
        ),
        *(plugin, "model=resnet18", "base=[data.batch_size=16,model.init=random,callbacks.progress=false]"),
        *("+recipes.H={title: Twice,train:['loss=twice'],against:[A]}", "arms=[A,H]", "budgets=[1.0]"),
        *("seeds=[0]", "epochs=1", "n_draws=100", "calibration=false", "reports=false", f"output={tmp_path / 'o'}"),
    ]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    command = [sys.executable, "-m", "skinlab.study", *overrides]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name, loss in (("A", "skinlab.losses"), ("H", "lesion_lab.twice.Twice")):
        config = yaml.safe_load((tmp_path / "o" / "runs" / f"{name}_b1_f0_s0" / "config.yaml").read_text())
        assert config["plugins"] == ["lesion_lab"]
        assert config["loss"]["_target_"].startswith(loss)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("plugins=[no_such_package]", "can't be imported"),
        ("plugins=[os]", "a module of Python"),
        ("plugins=[../x]", "no name of a package"),
        ("plugins=[typing_extensions]", "is a module; name a package"),
    ],
)
def test_what_is_no_package_is_refused_in_one_line(word, message):
    with pytest.raises(UserError, match=message) as error:
        enable_plugins([word])
    assert "\n" not in str(error.value)
