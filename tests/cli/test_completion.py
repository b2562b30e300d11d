"""Completion of a command line from the config files, and the script for the shell."""

import subprocess

import pytest

from skinlab.cli.completion import SCRIPTS, candidates
from skinlab.cli.registry import COMMANDS
from tests.choices import choices


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ([], list(COMMANDS)),
        (["pre"], ["pretrain", "predict"]),
        (["train", "loss="], [f"loss={name}" for name in choices("loss")]),
        (["train", "loss=fo"], ["loss=focal"]),
        (["train", "trainer.max"], ["trainer.max_epochs="]),
        (["pretrain", "views=ssl_d"], ["views=ssl_default", "views=ssl_derm"]),
        (["predict", "tt"], ["tta="]),
        (["tta", "views="], []),  # a group of pretrain
        (["train", "seed=1"], []),
        (["train", "nothing"], []),
        (["train", "loss=focal", "seed=1", "loss.g"], ["loss.gamma="]),
        (["train", "logger=[csv,wandb]", "logger.wandb.pro"], ["logger.wandb.project="]),
        (["train", "loss.g"], []),  # the default choice has no such setting
        (["train", "loss=typo", "loss.g"], []),
    ],
)
def test_the_completions_of_an_argument(overrides, found):
    assert candidates(overrides) == found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_of_an_example_is_offered(command):
    for word in COMMANDS[command].example.split():
        name = word.partition("=")[0]
        assert f"{name}=" in candidates([command, name])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("skinlab tr", "train"),
        ("skinlab train loss=fo", "focal"),
        ("skinlab train los", "loss="),
        ("skinlab train  loss=focal loss.", "loss.gamma="),
    ],
)
def test_the_script_for_bash_completes_a_line(line, found):
    script = f"""
compopt() {{ :; }}
skinlab() {{
    local IFS=" "
    case "${{*:2}}" in
        "tr") echo train ;;
        "train loss=fo") echo loss=focal ;;
        "train los") echo loss= ;;
        "train loss=focal loss.") echo loss.gamma= ;;
    esac
}}
{SCRIPTS["bash"]}
COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({line.replace("=", " = ")})
_skinlab
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
