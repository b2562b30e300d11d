"""A checkpoint alone is enough for inference, or it is refused."""

import hashlib
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from skinlab.errors import UserError
from skinlab.models.bundle import best_device, find_checkpoint, load_bundle
from skinlab.models.weights import read_checkpoint

CLASSES = ["bkl", "mel", "nv"]


@pytest.fixture(scope="module")
def checkpoint(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("run") / "best.ckpt", CLASSES)


def test_a_file_alone_holds_all_that_inference_needs(checkpoint: Path, tmp_path: Path):
    moved = shutil.copy(checkpoint, tmp_path / "elsewhere.ckpt")
    bundle = load_bundle(moved)
    assert (bundle.classes, bundle.image_size, bundle.fit) == (CLASSES, 32, "crop")
    assert bundle.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert bundle.training_prior == pytest.approx([1 / 3] * 3)
    assert not bundle.classifier.training
    assert bundle.meta(tta="d4")["classes"] == CLASSES
    saved = read_checkpoint(checkpoint)["state_dict"]
    for name, value in bundle.classifier.network.state_dict().items():
        assert torch.equal(value, saved[f"network.{name}"])


def test_normalisation_comes_from_the_checkpoint(checkpoint: Path):
    classifier = load_bundle(checkpoint).classifier
    grey = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    torch.testing.assert_close(classifier.normalise(grey), torch.full((1, 3, 32, 32), (1 - 0.5) / 0.25))


def test_a_run_directory_stands_for_its_best_checkpoint(checkpoint: Path, tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    best = Path(shutil.copy(checkpoint, tmp_path / "checkpoints" / "best.ckpt"))
    assert find_checkpoint(tmp_path) == best
    with pytest.raises(UserError, match=r"has no checkpoints/best\.ckpt"):
        find_checkpoint(tmp_path / "checkpoints")
    with pytest.raises(UserError, match="no such file or directory"):
        find_checkpoint(tmp_path / "none.ckpt")


def _without_a_tensor(content: dict) -> None:
    content["state_dict"].pop(next(name for name in content["state_dict"] if name.startswith("network.")))


def _of_other_classes(content: dict) -> None:
    content["hyper_parameters"]["classes"] = ["a", "b"]


def _with_nan(content: dict) -> None:
    next(v for k, v in content["state_dict"].items() if k.startswith("network."))[0] = math.nan


def _of_no_classifier(content: dict) -> None:
    del content["hyper_parameters"]


def _of_a_stranger(content: dict) -> None:
    content["hyper_parameters"] = {"lr": 0.1}


def _with_broken_inputs(content: dict) -> None:
    content["hyper_parameters"]["inputs"] = {"image_size": 32}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_a_tensor, "lacks 1 tensors of its network"),
        (_of_other_classes, "does not fit its own network"),
        (_with_nan, "weights that are no numbers"),
        (_of_no_classifier, "is not one of a skinlab classifier"),
        (_of_a_stranger, "is not one of a skinlab classifier"),
        (_with_broken_inputs, "is not one of a skinlab classifier"),
    ],
)
def test_what_is_no_whole_classifier_is_refused(
    checkpoint: Path, tmp_path: Path, spoil: Callable[[dict], None], words: str
):
    content = read_checkpoint(checkpoint)
    spoil(content)
    torch.save(content, tmp_path / "spoilt.ckpt")
    with pytest.raises(UserError, match=words) as told:
        load_bundle(tmp_path / "spoilt.ckpt")
    assert "\n" not in str(told.value)


def test_devices():
    assert best_device("cpu").type == "cpu"
    assert best_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match="did you mean cuda"):
        best_device("cud")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            best_device("cuda")
