"""A checkpoint alone is enough for inference, or it is refused."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skinlab.errors import UserError
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.inference.bundle import Bundle, best_device, load_bundle, save_bundle
from skinlab.inference.ensembling import ensemble
from skinlab.inference.gate import STATISTICS, fit_gate
from skinlab.models.weights import find_checkpoint, read_checkpoint

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


def test_reading_a_checkpoint_draws_no_random_numbers(checkpoint: Path):
    before = torch.random.get_rng_state()
    load_bundle(checkpoint)
    assert torch.equal(torch.random.get_rng_state(), before)


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
    content["hyper_parameters"] |= {"classes": ["a", "b"], "training_prior": [0.5, 0.5]}


def _with_nan(content: dict) -> None:
    next(v for k, v in content["state_dict"].items() if k.startswith("network."))[0] = math.nan


def _of_no_classifier(content: dict) -> None:
    del content["hyper_parameters"]


def _of_a_stranger(content: dict) -> None:
    content["hyper_parameters"] = {"lr": 0.1}


def _with_broken_inputs(content: dict) -> None:
    content["hyper_parameters"]["inputs"] = {"image_size": 32}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("classes", ["a", "a", "b"], "classes"),
        ("training_prior", None, "training_prior"),
        ("training_prior", [1.0], "training_prior"),
        ("training_prior", [math.nan] * 3, "training_prior"),
        ("inputs.image_size", 0, "image_size"),
        ("inputs.image_size", 10**9, "image_size"),
        ("inputs.fit", "x", "fit"),
        ("inputs.colour_constancy", "grey_world", "colour_constancy"),
        ("inputs.mean", 5, "mean"),
        ("inputs.std", [0.0] * 3, "std"),
        ("network", {"name": "nosuch", "dropout": 0.0, "head": "linear"}, "nosuch"),
    ],
)
def test_a_checkpoint_with_impossible_settings_is_refused(checkpoint, tmp_path, name, value, reason):
    content = torch.load(checkpoint, weights_only=True)
    place = content["hyper_parameters"]
    place = place["inputs"] if name.startswith("inputs.") else place
    place[name.removeprefix("inputs.")] = value
    torch.save(content, tmp_path / "spoilt.ckpt")
    with pytest.raises(UserError, match=reason):
        load_bundle(tmp_path / "spoilt.ckpt")


@pytest.mark.parametrize(
    ("spoil", "message"),
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
    checkpoint: Path, tmp_path: Path, spoil: Callable[[dict], None], message: str
):
    content = read_checkpoint(checkpoint)
    spoil(content)
    torch.save(content, tmp_path / "spoilt.ckpt")
    with pytest.raises(UserError, match=message) as refused:
        load_bundle(tmp_path / "spoilt.ckpt")
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def pair(checkpoint: Path, save_classifier: Callable[..., Path]) -> Bundle:
    """Two members, weighted, with all that a bundle can carry."""
    other = save_classifier(checkpoint.parent / "other.ckpt", CLASSES, "test_efficientnet", 1)
    members = ensemble([load_bundle(checkpoint), load_bundle(other)], ["a", "b"], method="weighted", weights=[3, 1])
    seen = np.random.default_rng(0).normal(size=(60, len(STATISTICS)))
    return replace(
        members,
        calibrator={"method": "temperature", "temperature": 1.5},
        thresholds=[FrozenThreshold("f1", 0.3, 0.2, 0.4, 9, "val, 60 images", "", ["mel"])],
        gate=fit_gate(seen, seen),
    )


def test_a_bundle_file_gives_back_all_that_it_was_made_of(pair: Bundle, tmp_path: Path):
    file = tmp_path / "model.bundle"
    save_bundle(pair, file)
    again = load_bundle(tmp_path)  # a directory with nothing else stands for it
    assert again.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    for name in ("classes", "method", "weights", "calibrator", "thresholds", "training_prior"):
        assert getattr(again, name) == getattr(pair, name), name
    assert again.weights == [0.75, 0.25]
    seen = np.random.default_rng(1).normal(size=(5, len(STATISTICS)))
    assert again.gate is not None
    np.testing.assert_array_equal(again.gate.distance_ratio(seen), pair.gate.distance_ratio(seen))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    for one, other in zip(pair.members, again.members, strict=True):
        assert (one.name, one.image_size, one.fit, one.sha256) == (
            other.name,
            other.image_size,
            other.fit,
            other.sha256,
        )
        assert torch.equal(one.classifier(images), other.classifier(images))
    meta = again.meta()
    assert [member["name"] for member in meta["members"]] == ["test_resnet", "test_efficientnet"]
    assert meta["calibrator"] == pair.calibrator


def test_a_bundle_of_one_checkpoint_is_that_checkpoint(checkpoint: Path, tmp_path: Path):
    alone = load_bundle(checkpoint)
    assert ensemble([alone], ["a"]) is alone
    save_bundle(alone, tmp_path / "one.bundle")
    again = load_bundle(tmp_path / "one.bundle")
    assert again.meta() | {"checkpoint_sha256": alone.sha256} == alone.meta()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(again.classifier(images), alone.classifier(images))
    with pytest.raises(ValueError, match="unpack"):
        _ = replace(alone, members=alone.members * 2).classifier


def test_a_run_s_checkpoint_comes_before_its_bundle(checkpoint: Path, tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    best = Path(shutil.copy(checkpoint, tmp_path / "checkpoints" / "best.ckpt"))
    (tmp_path / "model.bundle").touch()
    assert find_checkpoint(tmp_path) == best


def _of_a_later_format(content: dict) -> None:
    content["bundle_format"] = 3


def _without_members(content: dict) -> None:
    content["members"] = []


def _of_permuted_classes(content: dict) -> None:
    content["classes"] = content["classes"][::-1]


def _with_a_lacking_tensor(content: dict) -> None:
    content["members"][1]["state_dict"].popitem()


def _with_negative_weights(content: dict) -> None:
    content["learned"]["weights"] = torch.tensor([1.0, -1.0])


def _of_an_unknown_method(content: dict) -> None:
    content["method"] = "median"


def _with_an_empty_team(content: dict) -> None:
    content["teams"] = [0, 2]


def _without_what_was_learned(content: dict) -> None:
    content["learned"] = {}


def _with_a_reference_of_other_classes(content: dict) -> None:
    content |= {"method": "rank", "learned": {"reference": torch.ones(2, 5, 4)}}


def _with_calls_of_three_classes(content: dict) -> None:
    content |= {"method": "overlap", "learned": {"thresholds": torch.ones(2)}}


def _with_half_a_gate(content: dict) -> None:
    del content["gate"]["mean"]


def _without_thresholds(content: dict) -> None:
    del content["thresholds"]


def _with_half_a_threshold(content: dict) -> None:
    del content["thresholds"][0]["threshold"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_of_a_later_format, "has format 3, this skinlab reads format 1"),
        (_without_members, "is damaged .its members are of other classes"),
        (_of_permuted_classes, "is damaged .its members are of other classes"),
        (_with_a_lacking_tensor, "lacks 1 tensors of its network"),
        (_with_negative_weights, "2 numbers from 0 on are expected"),
        (_of_an_unknown_method, "combine=median is none of"),
        (_with_an_empty_team, r"is damaged .2 networks in teams \[0, 2\]"),
        (_without_what_was_learned, "is damaged .method weighted with nothing learned"),
        (_with_a_reference_of_other_classes, r"is damaged .its reference are of shape \(2, 5, 4\)"),
        (_with_calls_of_three_classes, "is damaged .method overlap with positive classes None"),
        (_with_half_a_gate, "is damaged .its input gate has a wrong mean"),
        (_without_thresholds, "is damaged .its thresholds: Field required"),
        (_with_half_a_threshold, r"is damaged .its thresholds\.0\.threshold: Field required"),
    ],
)
def test_a_spoilt_bundle_is_refused(pair: Bundle, tmp_path: Path, spoil: Callable[[dict], None], message: str):
    save_bundle(pair, tmp_path / "x.bundle")
    content = read_checkpoint(tmp_path / "x.bundle")
    spoil(content)
    torch.save(content, tmp_path / "x.bundle")
    with pytest.raises(UserError, match=message) as refused:
        load_bundle(tmp_path / "x.bundle")
    assert "\n" not in str(refused.value)


def test_what_a_method_learned_and_who_is_in_which_team_is_kept(pair: Bundle, tmp_path: Path):
    three = replace(pair, members=(*pair.members, pair.members[0]), teams=(0, 1, 0), calibrator=None)
    reference = np.random.default_rng(0).random((2, 7, 3))
    rank = replace(three, method="rank", learned={"reference": reference})
    overlap = replace(three, method="overlap", learned={"thresholds": [0.1, 0.7]}, positive=["mel", "nv"])
    for bundle in (rank, overlap):
        save_bundle(bundle, tmp_path / "x.bundle")
        again = load_bundle(tmp_path / "x.bundle")
        assert again.lineup == [[0, 2], [1]]
        assert (again.method, again.positive, again.outputs) == (bundle.method, bundle.positive, bundle.outputs)
        for name, values in bundle.learned.items():
            np.testing.assert_array_equal(again.learned[name], values)
    assert rank.outputs == CLASSES
    assert overlap.outputs == ["other", "positive"]
    assert "reference" not in rank.meta()
    assert json.loads(json.dumps(again.meta()))["thresholds"] == [pair.thresholds[0].to_dict()]
    assert json.loads(json.dumps(again.meta()))["learned"] == {"thresholds": [0.1, 0.7]}


def test_a_prior_is_averaged_within_teams_first(pair: Bundle):
    one, two = (replace(pair.members[0], training_prior=prior) for prior in ([1.0, 0, 0], [0, 0, 1.0]))
    bundle = replace(pair, members=(one, one, two), teams=(0, 0, 1))
    assert bundle.training_prior == pytest.approx([0.75, 0, 0.25])
    assert replace(bundle, learned={}).training_prior == pytest.approx([0.5, 0, 0.5])


class Payload:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


def test_code_in_a_bundle_is_never_run(tmp_path: Path):
    torch.save({"bundle_format": 1, "members": Payload(tmp_path / "ran")}, tmp_path / "x.bundle")
    with pytest.raises(UserError, match="carries Python code"):
        load_bundle(tmp_path / "x.bundle")
    assert not (tmp_path / "ran").exists()


def test_only_plain_values_are_saved(pair: Bundle, tmp_path: Path):
    with pytest.raises(UserError, match="not plain"):
        save_bundle(replace(pair, calibrator={"temperature": np.ones(2)}), tmp_path / "x.bundle")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "geometrc"}, "did you mean geometric"),
        ({"method": "rank"}, r"skinlab\.ensemble runs=A,B method=rank"),
        ({"method": "weighted"}, "combine=weighted needs weights="),
        ({"weights": [1, 1]}, "combine=mean takes no weights="),
        ({"method": "weighted", "weights": [1]}, "2 numbers from 0 on are expected"),
        ({"method": "weighted", "weights": [0, 0]}, "not all of them 0"),
    ],
)
def test_ways_to_combine_that_make_no_sense_are_refused(pair: Bundle, settings: dict, message: str):
    singles = [replace(pair, members=(member,), method="mean", learned={}, calibrator=None) for member in pair.members]
    with pytest.raises(UserError, match=message):
        ensemble(singles, ["a", "b"], **settings)


def test_members_that_do_not_belong_together_are_refused(pair: Bundle):
    one, two = (replace(pair, members=(member,), method="mean", learned={}, calibrator=None) for member in pair.members)
    with pytest.raises(UserError, match=r"classes of b .* in another order than those of a"):
        ensemble([one, replace(two, classes=CLASSES[::-1])], ["a", "b"])
    with pytest.raises(UserError, match=r"classes of b .* other ones than those of a"):
        ensemble([one, replace(two, classes=["x", "y", "z"])], ["a", "b"])
    with pytest.raises(UserError, match="a and b are the same model"):
        ensemble([one, one], ["a", "b"])
    with pytest.raises(UserError, match="b is an ensemble or calibrated already"):
        ensemble([one, pair], ["a", "b"])


def test_devices():
    assert best_device("cpu").type == "cpu"
    assert best_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match="did you mean cuda"):
        best_device("cud")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            best_device("cuda")
