"""Systems are named by what tells them apart: settings of their runs, folders of their tables, or names=."""

from pathlib import Path

import pandas as pd
import pytest

from skinlab.assessment.naming import find_reference, named
from skinlab.assessment.systems import System, find_systems
from skinlab.errors import UserError
from tests.assessment.test_systems import write_run

CE, FOCAL = "skinlab.losses.cross_entropy.CrossEntropy", "skinlab.losses.focal.Focal"


def find(*places: Path, names: list[str] | None = None) -> list[System]:
    return named(find_systems([str(place) for place in places], split="val"), names, "predictions")


def table(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    rows = {"image_id": ["a", "b"], "label": ["nv", "mel"], "prob_nv": [0.4, 0.2], "prob_mel": [0.6, 0.8]}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_runs_are_named_by_the_settings_that_differ_and_tables_by_their_files(tmp_path):
    first, second = write_run(tmp_path / "0", loss=CE), write_run(tmp_path / "1", loss=FOCAL)
    other = table(tmp_path / "theirs" / "p.csv")
    assert [system.name for system in find(first, other, second)] == ["loss=ce", "p", "loss=focal"]
    assert [system.name for system in find(first)] == [f"{tmp_path.name}/0"]  # a class may be called 0, too


def test_runs_of_one_recipe_are_named_by_seed_and_else_by_their_folders(tmp_path):
    runs = [write_run(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 1), ("c", 1))]
    assert [system.name for system in find(*runs[:2])] == ["seed=0", "seed=1"]
    assert [system.name for system in find(*runs)] == ["a", "b", "c"]


def test_tables_and_runs_of_one_name_get_those_of_their_folders(tmp_path):
    tables = [table(tmp_path / name / "p.csv") for name in ("a", "b")]
    assert [system.name for system in find(*tables)] == ["a/p", "b/p"]
    runs = [write_run(tmp_path / name / "run") for name in ("c", "d")]
    assert [system.name for system in find(*runs)] == ["c/run", "d/run"]


def test_names_replace_them_and_a_reference_may_be_a_place(tmp_path):
    runs = [write_run(tmp_path / "0", loss=CE), write_run(tmp_path / "1", loss=FOCAL)]
    assert [system.name for system in find(*runs, names=["ours", "theirs"])] == ["ours", "theirs"]
    assert find_reference(find(*runs), str(runs[1])) == "loss=focal"
    assert find_reference(find(*runs), "loss=ce") == "loss=ce"
    assert find_reference(find(*runs), None) is None


def test_too_few_names_and_a_system_given_twice_are_refused(tmp_path):
    runs = [write_run(tmp_path / "0", loss=CE), write_run(tmp_path / "1", loss=FOCAL)]
    with pytest.raises(UserError, match="names= has 1 names for 2 systems: loss=ce, loss=focal"):
        find(*runs, names=["ours"])
    with pytest.raises(UserError, match=r"predictions= names \S+/0 twice; .*names=\[A,B\]"):
        find(runs[0], runs[0])


def test_folders_name_runs_that_differ_in_much_unless_they_are_numbers(tmp_path):
    networks = ("vit_small_patch14_reg4_dinov2.lvd142m", "convnext_tiny.fb_in22k_ft_in1k_384")
    runs = [write_run(tmp_path / name, model=model) for name, model in zip(("mine", "yours"), networks, strict=True)]
    assert [system.name for system in find(*runs)] == ["mine", "yours"]
    numbered = [write_run(tmp_path / name, model=model) for name, model in zip("01", networks, strict=True)]
    assert [system.name for system in find(*numbered)] == [f"model={name}" for name in networks]
    assert find_reference(find(*numbered), "1") == f"model={networks[1]}"
