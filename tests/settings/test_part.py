"""A config builds what the allowed packages define, and nothing that they merely import."""

from pathlib import Path
from typing import Any

import pytest
import torch

from skinlab.errors import UserError
from skinlab.losses.focal import Focal
from skinlab.settings.part import build


def test_what_is_allowed_is_built():
    assert build({"_target_": "skinlab.losses.focal.Focal", "gamma": 3.0}).gamma == 3.0
    assert isinstance(build({"_target_": "torch.nn.CrossEntropyLoss"}), torch.nn.CrossEntropyLoss)
    preset = build({"_target_": "skinlab.data.transforms.light", "_partial_": True})
    assert callable(preset)
    holder = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "skinlab.losses.focal.Focal"}]}
    assert isinstance(build(holder)[0], Focal)


@pytest.mark.parametrize(
    "target",
    [
        "skinlab.data.transforms.os.mkdir",
        "skinlab.data.readers.table.Path.mkdir",
        "skinlab.data.readers.listing.os.mkdir",
        "torch.nn.modules.module.torch.os.mkdir",
    ],
)
@pytest.mark.parametrize("place", ["whole", "nested", "listed", "added"])
def test_what_a_path_reaches_beyond_its_package_is_never_called(tmp_path: Path, target: str, place: str):
    trap = tmp_path / "trap"
    evil: dict[str, Any] = {"_target_": target, "_args_": [str(trap)]}
    good: dict[str, Any] = {"_target_": "skinlab.losses.focal.Focal"}
    node, more = {
        "whole": (evil, {}),
        "nested": (good | {"gamma": evil}, {}),
        "listed": (good | {"alpha": [evil]}, {}),
        "added": (good, {"alpha": evil}),
    }[place]
    with pytest.raises(UserError, match="no class of the allowed packages"):
        build(node, **more)
    assert not trap.exists()


@pytest.mark.parametrize("target", ["torch.nn.functional.relu", "torch.nn.init.ones_", "torchvision.ops.nms"])
def test_functions_of_other_packages_are_refused(target: str):
    with pytest.raises(UserError, match="no class of the allowed packages"):
        build({"_target_": target})


@pytest.mark.parametrize(
    "target",
    [
        "skinlab.processes.jobs.start_job",
        "skinlab.files.write_text",
        "torch.load",
        "torch.hub.load",
        "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",
        "timm.create_model",
        "pytorch_lightning.callbacks.LambdaCallback",
        "torchvision.datasets.CIFAR10",
    ],
)
def test_what_is_no_part_is_refused_wherever_it_stands(tmp_path: Path, target: str):
    evil = {"_target_": target, "command": ["touch", str(tmp_path / "trap")]}
    for node in (evil, {"_target_": "torch.nn.Identity", "a": [{"b": evil}]}):
        with pytest.raises(UserError, match="outside the allowed packages"):
            build(node)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", "${oc.create:{_target_:skinlab.processes.jobs.start_job,command:[touch,TRAP]}}", "a${b}"]
)
def test_an_interpolation_is_not_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.chdir(tmp_path)
    for node in ({"gamma": text}, {"alpha": [{text: 1}]}):
        with pytest.raises(UserError, match="an interpolation is not allowed here"):
            build({"_target_": "skinlab.losses.focal.Focal", **node})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["skinlab.losses.focal.Fokal", "skinlab.losses.nothing.at.all", "torch.nn.nothing"])
def test_what_leads_nowhere_is_reported(target: str):
    with pytest.raises(UserError, match="leads to nothing"):
        build({"_target_": target})


def test_a_target_that_is_no_text_is_reported():
    with pytest.raises(UserError, match="leads to nothing"):
        build({"_target_": 3})
