"""A package of the user's own: its parts, its config files and its entries, once plugins= names it."""

import sys

import pytest
import yaml
from omegaconf import OmegaConf

from skinlab.cli import conf
from skinlab.cli.config import compose_config
from skinlab.cli.continuing import continued
from skinlab.cli.plugins import enable_plugins
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.models.prediction import VIEWS
from skinlab.settings import part

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
    with pytest.raises(UserError, match=r"name them again: plugins=\[lesion_lab\]"):
        continued(OmegaConf.create(config | {"run_dir": str(run_dir)}), [], "train")
    again = OmegaConf.to_container(compose_config("train", [plugin, "loss=twice"])) | {"run_dir": str(run_dir)}
    assert continued(OmegaConf.create(again), [plugin, "loss=twice"], "train").loss["_target_"].endswith("Twice")


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
