"""The models of the settings and the files in conf/ agree: values in the one, types and limits in the other."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from skinlab.cli.conf import config_directory
from skinlab.cli.config import compose_config, compose_settings
from skinlab.cli.registry import COMMANDS, settings_model
from skinlab.settings.base import Settings, groups_within, walk

MODELS = {name: model for name in COMMANDS if (model := settings_model(name))}
GROUPS = [
    (name, group)
    for name, model in MODELS.items()
    for group in model.model_fields
    if (config_directory() / group).is_dir() and (name, group) != ("pretrain", "callbacks")
]
# What a command can't do without.
NEEDED = {
    "predict": ["ckpt=a", "input=b", "output=p.csv"],
    "evaluate": ["predictions=[a]", "output=o"],
    "ensemble": ["runs=[a,b]", "output=o"],
    "tta": ["ckpt=a", "output=o"],
    "bundle": ["ckpt=[a]", "output=m.bundle"],
    "mine": ["ckpt=a", "output=o"],
}
ADDED_BY_USERS = {"lr_reference_batch"}


def read(group: str, choice: str) -> dict[str, Any]:
    """The content of a choice with that of the files that it names in its defaults."""
    content = yaml.safe_load((config_directory() / group / f"{choice}.yaml").read_text()) or {}
    inherited = [
        read(group, each) for each in content.pop("defaults", []) if isinstance(each, str) and each != "_self_"
    ]
    return OmegaConf.to_container(OmegaConf.merge(*inherited, content), resolve=False)


def compared(model: type[Settings], content: dict[str, Any], place: str) -> Iterator[str]:
    """Yield the names that a file sets; it has to set all that are required, and no other."""
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    required = {name for name, field in fields.items() if field.is_required()}
    assert required <= content.keys(), f"{place} lacks {required - content.keys()}"
    if model.model_config["extra"] == "forbid":
        assert content.keys() <= fields.keys(), f"{place} has {content.keys() - fields.keys()}"
    for key, value in content.items():
        yield f"{place}.{key}"
        for group in (
            groups_within(fields[key].annotation) if key in fields and isinstance(value, dict) and value else ()
        ):
            yield from compared(group, value, f"{place}.{key}")


@pytest.mark.parametrize(("command", "group"), GROUPS)
def test_every_choice_sets_all_fields_of_its_group_and_no_other(command, group):
    (model,) = groups_within(MODELS[command].model_fields[group].annotation)
    names = {path.stem for path in (config_directory() / group).glob("*.yaml")}
    if group != "evidence":  # whose default is no part of other files
        names = names - {"default"} or names
    contents = [read(group, choice) for choice in names - {"off"}]
    found = {name for content in contents for name in compared(model, content, group)}
    for name, _, _ in walk(model, f"{group}."):
        assert name in found or name.rpartition(".")[2] in ADDED_BY_USERS, f"no file sets {name}"


@pytest.mark.parametrize("command", MODELS)
def test_values_are_in_conf_alone(command):
    for name, field, _ in walk(MODELS[command]):
        assert field.is_required() or field.default is None, name


@pytest.mark.parametrize("command", ["train", "pretrain", "audit"])
def test_a_dump_is_what_was_composed(command):
    needed = NEEDED.get(command, [])
    settings, cfg = compose_settings(command, needed), compose_config(command, needed)
    if "run_dir" in cfg:
        cfg.run_dir = "."
    composed = OmegaConf.to_container(cfg, resolve=True)
    assert yaml.safe_load(yaml.safe_dump(settings.dump())) == composed
