"""The state of a machine: what is missing is named with its remedy, and secrets are not."""

import os
from pathlib import Path

import pytest

from skinlab.runs import machine
from skinlab.runs.machine import ERROR, NOTE, OK, WARNING, data_sets, disks, image_decoding, packages, wandb_state

ROOT = Path(machine.__file__).parents[2]


def test_a_package_that_is_missing_or_too_old_is_an_error_and_an_extra_is_not(monkeypatch):
    wanted = [
        "rich>=14",
        "nosuchpackage>=1",
        "numpy>=99",
        "nosuchextra; extra == 'fancy'",
        "nosuchtool; extra == 'dev'",
    ]
    monkeypatch.setattr(machine, "requires", lambda _: wanted)
    first, *others = packages()
    assert first.state == OK
    assert "torch " in first.text
    found = {each.topic: each for each in others}
    assert found["packages"].state == ERROR
    assert found["packages"].text.startswith("nosuchpackage is not installed, numpy is ")
    assert "rich" not in found["packages"].text
    assert found["extras"] == ("extras", NOTE, f"nosuchextra is not installed; in {ROOT}: pip install -e '.[fancy]'")
    assert len(others) == 2


def test_these_packages_are_whole():
    assert not [each for each in packages() if each.state == ERROR]


def test_data_sets_are_counted_and_the_others_have_their_command(tmp_path, monkeypatch):
    monkeypatch.delenv("SKINLAB_DATA_ROOT", raising=False)
    for number in range(3):
        folder = tmp_path / "whole" / "part"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.JPG").touch()
        (folder / f"{number}_segmentation.png").touch()
    (tmp_path / "whole" / "table.csv").touch()
    (tmp_path / "cut").mkdir()
    whole, cut, missing = data_sets(tmp_path, {"whole": 3, "cut": 9, "far": 5, "away": 0})
    assert (whole.state, cut.state, missing.state) == (OK, WARNING, NOTE)
    assert whole.text.startswith("whole: 3 images (")
    assert cut.text.startswith("cut: 0 images of 9; skinlab fetch data=cut gets the rest")
    assert "far, away; skinlab fetch data=NAME" in missing.text
    assert "SKINLAB_DATA_ROOT" in missing.text


def test_a_full_disk_is_warned_of_and_places_of_one_disk_are_a_line(tmp_path):
    places = {"work_dir": str(tmp_path), "cache_dir": str(tmp_path / "not" / "there")}
    (enough,) = [each for each in disks(places, 0.0) if "free" in each.text]
    assert enough.state == OK
    assert "work_dir" in enough.text
    assert "cache_dir" in enough.text
    (full,) = [each for each in disks(places, 1e9) if "free" in each.text]
    assert full.state == WARNING


def test_a_working_folder_that_can_t_be_written_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    states = [each.state for each in disks({"work_dir": str(tmp_path)}, 0.0)]
    assert ERROR in states


@pytest.mark.parametrize("turbo", [True, False])
def test_decoding_is_measured(monkeypatch, turbo):
    monkeypatch.setattr(machine.features, "check_feature", lambda _: turbo)
    monkeypatch.setattr(machine, "SECONDS", 0.01)
    found = image_decoding()
    assert found.state == (OK if turbo else WARNING)
    assert "images of 600x450 px a second and core" in found.text


def test_the_key_of_wandb_is_never_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    assert wandb_state().state == OK
    assert "0123456789" not in wandb_state().text
    monkeypatch.delenv("WANDB_API_KEY")
    assert wandb_state().state == NOTE
    netrc = Path(tmp_path, ".netrc")
    netrc.write_text("machine api.wandb.ai login user password 0123456789\n")
    netrc.chmod(0o600)
    assert wandb_state().text.startswith("logged in to api.wandb.ai")
    assert "0123456789" not in wandb_state().text
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "WANDB_MODE=offline" in wandb_state().text
