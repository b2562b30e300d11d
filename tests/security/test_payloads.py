"""Files that try to run code, to write elsewhere, to remove files or to fill the memory."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from skinlab.callbacks.safety import AtomicCheckpointIO
from skinlab.cli.continuing import continued
from skinlab.cli.plugins import refuse_missing
from skinlab.errors import UserError
from skinlab.fetching.unpack import unpack
from skinlab.inference.bundle import load_bundle
from skinlab.models.weights import read_checkpoint
from skinlab.settings.plain import MAX_VALUES
from skinlab.settings.recorded import read_recorded
from tests.security.parsers import bundle_content, config
from tests.security.watching import nothing_but_reading

TARGETS = {
    "a program": {"_target_": "skinlab.processes.jobs.start_job", "command": ["touch", "trap"]},
    "a writer": {"_target_": "skinlab.files.write_text", "path": "trap", "text": "x"},
    "the standard library": {"_target_": "os.mkdir", "path": "trap"},
    "a class that starts programs": {
        "_target_": "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",
        "entrypoint": "touch",
        "args": ["trap"],
    },
    "a partial": {"_target_": "skinlab.files.write_text", "_partial_": True},
    "an interpolation": "${oc.create:{_target_:os.mkdir,path:trap}}",
    "the environment": "${oc.env:HOME}",
}


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def zipped(path: Path, names: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return path


def test_the_watch_sees_what_it_should(tmp_path: Path):
    (tmp_path / "inside").mkdir()
    with nothing_but_reading(tmp_path / "inside"):
        (tmp_path / "inside" / "a").write_text("x")
    for act in (
        lambda: (tmp_path / "b").write_text("x"),
        lambda: os.system("true"),
        lambda: pickle.loads(pickle.dumps(Trap(tmp_path / "trap"))),
    ):
        with pytest.raises(AssertionError), nothing_but_reading(tmp_path / "inside"):
            act()


@pytest.mark.parametrize("place", ["whole", "hyper_parameters", "member", "calibrator"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_is_never_executed(tmp_path: Path, place: str, protocol: int):
    trap: Any = Trap(tmp_path / "trap")
    content: Any = trap if place == "whole" else {**bundle_content()}
    if place == "member":
        content["members"] = [{**content["members"][0], "hyper_parameters": {"classes": trap}}]
    elif place != "whole":
        content[place] = trap
    path = tmp_path / "a.ckpt"
    for write in (
        lambda: torch.save(content, path, pickle_protocol=protocol),
        lambda: torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False),
        lambda: path.write_bytes(pickle.dumps(content, protocol)),
    ):
        write()
        for read in (read_checkpoint, load_bundle):
            with nothing_but_reading(tmp_path), pytest.raises(UserError):
                read(path)
    assert not (tmp_path / "trap").exists()


def test_a_compressed_checkpoint_is_refused_before_it_fills_the_memory(tmp_path: Path):
    whole = io.BytesIO()
    torch.save({"a": torch.zeros(1000, 1000)}, whole)
    with zipfile.ZipFile(whole) as archive:
        names = {name: archive.read(name) for name in archive.namelist()}
    assert read_checkpoint(zipped(tmp_path / "a.ckpt", names))["a"].shape == (1000, 1000)
    bomb = zipped(tmp_path / "b.ckpt", names, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10_000
    with pytest.raises(UserError, match="truncated or damaged"):
        read_checkpoint(bomb)


@pytest.mark.parametrize("what", TARGETS)
@pytest.mark.parametrize("place", ["loss", "loss.gamma", "augment.transform", "data.reader.columns", "semi.weak"])
def test_a_recorded_config_names_parts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, place: str):
    """A run of a stranger's is continued up to the point where its parts are built, as the command does."""
    from skinlab.settings.base import create
    from skinlab.settings.commands.train import TrainSettings
    from skinlab.settings.part import build, check_parts

    monkeypatch.chdir(tmp_path)
    recorded = yaml.safe_load(yaml.safe_dump(config()))
    *groups, key = place.split(".")
    node = recorded
    for group in groups:
        node = node[group]
    node[key] = TARGETS[what]
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(recorded))
    (run / "metrics.json").write_text("{}")
    cfg = OmegaConf.create(config() | {"run_dir": str(run), "resume": "auto"})
    with nothing_but_reading(run), pytest.raises(UserError):  # noqa: PT012
        settings = create(TrainSettings, OmegaConf.to_container(continued(cfg, [], "train")))
        check_parts(settings.parts())
        for part in settings.parts().values():
            build(part)
    assert {each.name for each in tmp_path.iterdir()} == {"run"}


@pytest.mark.parametrize("text", ["&a [*a, *a]", "&a {b: *a}", "2020-99-99", "? {a: b}\n: c", "[" * 5000, "!!int x"])
def test_yaml_that_holds_itself_or_is_no_value_is_refused(tmp_path: Path, text: str):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml"):
        read_recorded(tmp_path, {})


def test_yaml_that_grows_is_refused(tmp_path: Path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match=f"more than {MAX_VALUES:,} values"):
        read_recorded(tmp_path, {})


def test_a_recorded_plugin_is_no_part_of_a_command_line():
    with pytest.raises(UserError, match="name them again: 'plugins=\\[mine\\]'"):
        refuse_missing(["mine"], [], "run")
    with pytest.raises(UserError, match="no name of a package"):
        refuse_missing(["x]'; touch trap; '["], [], "run")


@pytest.mark.parametrize(
    "names",
    [
        ["../a"],
        ["/a"],
        ["a/../../b"],
        ["..\\a"],
        ["C:/a"],
        ["a", "a/b"],
        ["a/b", "a"],
        ["."],
        ["a\x1b[2J"],
        ["a" * 300],
    ],
)
def test_an_archive_writes_nothing_outside_its_folder(tmp_path: Path, names: list[str]):
    folder = tmp_path / "data"
    folder.mkdir()
    archive = zipped(tmp_path / "a.zip", dict.fromkeys(names, b"x"))
    with nothing_but_reading(folder), pytest.raises(UserError, match=r"a\.zip"):
        unpack(archive, folder / "to", lambda _: None)
    assert not list(folder.iterdir())


def test_only_checkpoints_beside_the_last_one_are_removed(tmp_path: Path):
    """Lightning removes the former best one, whose path is what the checkpoint says from which the run continues."""
    folder, writer = tmp_path / "checkpoints", AtomicCheckpointIO()
    writer.save_checkpoint({"a": 1}, folder / "best.ckpt")
    others = [tmp_path / "mine.ckpt", tmp_path / "mine.txt", folder / "notes.txt", folder / "old.ckpt"]
    for path in others:
        path.write_text("x")
    for place in [*others, folder / ".." / "mine.ckpt", tmp_path]:
        writer.remove_checkpoint(place)
    assert [path.exists() for path in others] == [True, True, True, False]
