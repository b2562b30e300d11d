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
        "skinlab.files.os.mkdir",
        "skinlab.data.cache.Path.mkdir",
        "skinlab.data.readers.listing.os.mkdir",
        "torch.os.mkdir",
        "torch.serialization.os.mkdir",
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


@pytest.mark.parametrize("target", ["torch.load", "torch.hub.load", "timm.create_model"])
def test_functions_of_other_packages_are_refused(target: str):
    with pytest.raises(UserError, match="no class of the allowed packages"):
        build({"_target_": target})


@pytest.mark.parametrize("target", ["skinlab.losses.focal.Fokal", "skinlab.nothing.at.all", "torch.nn.nothing", 3])
def test_what_leads_nowhere_is_reported(target: Any):
    with pytest.raises(UserError, match="leads to nothing"):
        build({"_target_": target})
