"""Settings that hold names: one way to read them all, one line for what can't be read."""

import pytest

from skinlab.errors import UserError
from skinlab.settings.name_lists import name_lists, read_name_lists


@pytest.mark.parametrize("setting", ["positive", "data.classes", "evidence.positive", "thresholds", "tta"])
@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("mel", ["mel"]),
        (1, ["1"]),
        (0, ["0"]),
        ([1.0], ["1"]),
        (True, ["true"]),
        (["mel ", 2], ["mel", "2"]),
        (["mel", "mel"], r"\[mel,mel\]: mel is named twice"),
        ([1, "1"], "1 is named twice"),
        ({"mel": 1}, "a list of names is expected"),
        (["mel", None], "a list of names is expected"),
        ([["mel"]], "a list of names is expected"),
        ("", "a list of names is expected"),
    ],
)
def test_names_are_read_alike_in_every_setting(setting, value, names):
    *path, key = setting.split(".")
    config = {path[0]: {key: value}} if path else {key: value}
    if isinstance(names, str):
        with pytest.raises(UserError, match=f"^{setting}=.*{names}"):
            read_name_lists(config, "train")
    else:
        read_name_lists(config, "train")
        assert (config[path[0]] if path else config)[key] == names


def test_an_empty_list_is_refused_where_it_means_nothing():
    read_name_lists(config := {"compare_by": [], "positive": None, "evidence": {}}, "evaluate")
    assert config == {"compare_by": [], "positive": None, "evidence": {}}
    with pytest.raises(UserError, match=r"^data.classes=\[\]: the list is empty"):
        read_name_lists({"data": {"classes": []}}, "train")


def test_the_thresholds_of_a_bundle_may_be_a_file():
    read_name_lists(config := {"thresholds": "run/thresholds.json"}, "bundle")
    assert config["thresholds"] == "run/thresholds.json"
    assert "thresholds" in name_lists("evaluate")
