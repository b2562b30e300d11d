"""The help of a command: groups and choices, settings with their comments, three examples that compose."""

import shlex
import subprocess
import sys

import pytest

from skinlab.cli.command_line import prepare_command_line
from skinlab.cli.conf import config_directory
from skinlab.cli.conf_comments import Setting, header, settings_of_file
from skinlab.cli.config import compose_settings
from skinlab.cli.help import choices_of, examples, help_text, read_groups
from skinlab.cli.registry import COMMANDS, list_settings
from skinlab.errors import UserError


@pytest.mark.parametrize("command", COMMANDS)
def test_it_has_every_group_and_choice_every_setting_and_three_examples(command):
    lines = help_text(command).splitlines()
    assert lines[0] == f"python -m skinlab.{command}: {COMMANDS[command].summary}."
    groups = read_groups(command)
    for group in groups.chosen:
        for choice in choices_of(group):
            assert any(line.lstrip("* ").split()[0] == f"{group}={choice}" for line in lines if line.strip())
    for path in groups.files:
        for each in settings_of_file(path):
            top = each.name.partition(".")[0]
            if top not in ("hydra", "run_dir", *groups.chosen):
                assert any(line.startswith(f"  {top}=") for line in lines), top
    assert lines[-3:] == [f"  {each}" for each in examples(command)]
    assert len(examples(command)) == 3


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in COMMANDS for line in examples(name)])
def test_an_example_composes(name, line):
    words = shlex.split(line)[3:]
    sweep = "-m" in words
    overrides = prepare_command_line([w for w in words if w != "-m"], list_settings(name), COMMANDS[name].aliases)
    kept = [word.partition(",")[0] if sweep else word for word in overrides if word != "sweep=folds"]
    compose_settings(name, kept)


@pytest.mark.parametrize("group", ["data", "model", "loss", "ssl", "semi", "sampler", "augment", "optimizer"])
def test_every_choice_has_a_line(group):
    lines = help_text("pretrain" if group == "ssl" else "train").splitlines()
    for choice in choices_of(group):
        (line,) = [each for each in lines if each.lstrip("* ").startswith(f"{group}={choice} ")]
        assert len(line.split()) >= 3, line


def test_a_group_has_the_settings_of_the_choice_that_is_typed():
    of_focal = help_text("train", ["loss=focal", "loss"])
    assert "* loss=focal" in of_focal
    assert "\nloss.gamma=2.0" in of_focal
    assert "loss.gamma" not in help_text("train", ["loss"])
    assert "A weight for each class" in of_focal
    assert "\nmodel.freeze_epochs=0" in help_text("train", ["model"]), "a setting that all choices share"


def test_a_word_that_is_no_group_is_refused():
    with pytest.raises(
        UserError, match=r"lsos --help: skinlab.train has no such group or setting \(did you mean loss\?\)"
    ):
        help_text("train", ["lsos"])


def test_the_keys_of_a_mapping_are_shown_and_have_their_own_help():
    lines = [line.strip() for line in help_text("evaluate").splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("columns={...}"))
    assert " ".join(lines[start + 1 : start + 4]).startswith("keys: image_id, label, group, patient, lesion, age")
    (alone,) = help_text("evaluate", ["cross_fit"]).splitlines()
    assert alone.startswith("cross_fit=false")
    of_columns = help_text("evaluate", ["columns"]).splitlines()
    assert of_columns[0].startswith("columns.image_id=")
    assert any(line.startswith("columns.prob=") and "as in columns.prob={malignant:" in line for line in of_columns)
    with pytest.raises(UserError, match=r"has no such group or setting \(did you mean columns\?\)"):
        help_text("evaluate", ["colums"])


def test_comments_of_a_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "# @package _global_\n# What it is. More of it.\n\n# Of b,\n# in two lines.\nb: 1\nc: [x, 2]\n"
        "d:\n  # inside\n  e: ???\nf: ${b}  # behind\n"
    )
    assert header(path) == "What it is. More of it."
    assert list(settings_of_file(path)) == [
        Setting("b", "1", "Of b, in two lines."),
        Setting("c", "[x,2]", ""),
        Setting("d.e", None, "inside"),
        Setting("f", None, "behind"),
    ]


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["loss=focal", "--help"], ["--version"]])
def test_it_is_answered_without_hydra_and_torch(words):
    code = (
        "import sys\nfrom skinlab.cli.entry import run_command\n"
        f"sys.argv[1:] = {words!r}\nrun_command('train')\n"
        "print([name for name in ('torch', 'hydra', 'pandas', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.startswith("skinlab 0." if "--version" in words else "python -m skinlab.train: ")


def test_the_folder_of_choices_is_read(tmp_path, monkeypatch):
    """A plugin's choices are among them."""
    from skinlab.cli import conf

    folder = tmp_path / "loss"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# My own loss.\nscale: 1.0\n")
    monkeypatch.setattr(conf, "PLUGIN_FOLDERS", conf.PLUGIN_FOLDERS)
    conf.PLUGIN_FOLDERS.append(tmp_path)
    try:
        assert "My own loss" in help_text("train")
        assert "loss.scale=1.0" in help_text("train", ["loss=mine", "loss"])
    finally:
        conf.PLUGIN_FOLDERS.remove(tmp_path)
    assert (config_directory() / "loss").is_dir()


def test_comments_are_without_commands_and_hydra_s_header():
    for path in config_directory().rglob("*.yaml"):
        for text in (header(path), *(each.comment for each in settings_of_file(path))):
            assert "@package" not in text, path
            assert "split=test" not in header(path), path
    folds = header(config_directory() / "sweep" / "folds.yaml")
    assert folds == "every fold in turn, as many as data.n_folds says."
