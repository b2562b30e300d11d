"""Settings that hold names: one way to read them all, one line for what can't be read."""

from typing import Annotated

import pytest

from skinlab.cli.registry import COMMANDS, list_settings
from skinlab.errors import UserError
from skinlab.settings.base import Settings, create
from skinlab.settings.types import Names, NamesOrEmpty, Places


class Named(Settings):
    positive: Names | None
    thresholds: NamesOrEmpty
    runs: Annotated[Places, None]


EMPTY = {"positive": None, "thresholds": [], "runs": ["r"]}


@pytest.mark.parametrize("setting", EMPTY)
@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("mel", ["mel"]),
        (1, ["1"]),
        (0, ["0"]),
        ([1.0], ["1"]),
        (True, ["true"]),
        (["mel", 2], ["mel", "2"]),
        (["mel", "mel"], r"\[mel,mel\]: mel is named twice"),
        ([1, "1"], "1 is named twice"),
        ({"mel": 1}, "a list of names is expected"),
        (["mel", None], "a list of names is expected"),
        ([["mel"]], "a list of names is expected"),
        ("", "a list of names is expected"),
    ],
)
def test_names_are_read_alike_in_every_setting(setting, value, names):
    if isinstance(names, str):
        with pytest.raises(UserError, match=f"^{setting}=.*{names}"):
            create(Named, EMPTY | {setting: value})
    else:
        assert getattr(create(Named, EMPTY | {setting: value}), setting) == names


def test_blanks_around_a_name_are_dropped_but_belong_to_a_place():
    named = create(Named, {"positive": "mel ", "thresholds": [" f1"], "runs": " my run "})
    assert (named.positive, named.thresholds, named.runs) == (["mel"], ["f1"], [" my run "])


def test_an_empty_list_is_refused_where_it_means_nothing():
    for setting in ("positive", "runs"):
        with pytest.raises(UserError, match=rf"^{setting}=\[\]: the list is empty"):
            create(Named, EMPTY | {setting: []})


def test_lists_of_every_command_are_known_before_it_is_composed():
    found = {name: set(list_settings(name)) for name in COMMANDS}
    assert {"data.classes", "data.positive", "evidence.positive", "evidence.thresholds"} <= found["train"]
    assert {"positive", "compare_by", "thresholds", "predictions"} <= found["evaluate"]
    assert {"runs", "positive"} <= found["ensemble"]
    assert {"arms", "base", "base_pretrain", "base_train"} <= found["study"]
    assert "tta" in found["tta"]
    assert "tta" not in found["predict"]
