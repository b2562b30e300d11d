"""The models of the settings and the files in conf/ agree: values in the one, types and limits in the other."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from skinlab.cli.conf import config_directory
from skinlab.cli.config import compose_config, compose_settings
from skinlab.cli.registry import COMMANDS, settings_model
from skinlab.errors import UserError
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


@pytest.mark.parametrize(
    ("command", "place", "value", "expected"),
    [
        ("train", "data.on_bad_image", "dropp", "did you mean drop"),
        ("train", "data.fit", "strech", "did you mean stretch"),
        ("train", "data.num_workers", -1, "0 or more"),
        ("train", "data.n_folds", 1, "at least 2"),
        ("train", "data.test_fraction", 1, "below 1"),
        ("train", "data.label_budget", 0, "above 0"),
        ("train", "data.label_budget", -3, "above 0"),
        ("train", "data.label_budget", "nan", "above 0"),
        ("train", "data.label_budget", "few", "a number"),
        ("train", "data.label_budget", "true", "a number"),
        ("train", "data.label_map", "mel", "a mapping"),
        ("train", "data.label_map", "[mel,nv]", "a mapping"),
        ("train", "sampler.power", 1.5, "at most 1"),
        ("pretrain", "views.n_small", -1, "at least 0"),
        ("pretrain", "views.small_size", 0, "at least 1"),
        ("pretrain", "views.lesion_pairs", 1.5, "at most 1"),
        ("evaluate", "on_label_conflict", "eror", "did you mean error"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(command, place, value, expected):
    with pytest.raises(UserError, match=rf"{re.escape(place)}.*{expected}") as raised:
        compose_settings(command, [*NEEDED.get(command, []), f"{place}={value}"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_images_have_a_least_size(command, tmp_path):
    with pytest.raises(UserError, match=r"data\.image_size=2: a number of at least 16 is expected"):
        compose_settings(command, ["data.image_size=2"], tmp_path)
