"""Exports: timm loads the one strictly, ONNX Runtime computes the other alike."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open

from skinlab.alterations.colour import shades_of_gray
from skinlab.errors import UserError
from skinlab.evaluation.ensembles.combination import combine
from skinlab.inference import export
from skinlab.inference.bundle import Bundle, load_bundle, save_bundle
from skinlab.inference.ensembling import ensemble
from skinlab.inference.export import Deployed, parity, write_onnx, write_timm
from skinlab.models.backbone import CosineHead

CLASSES = ["bkl", "mel", "nv"]


@pytest.fixture(scope="module")
def singles(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("runs")
    kinds = (("test_resnet", 0), ("test_efficientnet", 1))
    return [load_bundle(save_classifier(folder / f"{seed}.ckpt", CLASSES, name, seed)) for name, seed in kinds]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_timm_loads_the_safetensors_file_with_its_head(singles: list[Bundle], images: torch.Tensor, tmp_path: Path):
    for bundle in singles:
        file = tmp_path / f"{bundle.members[0].name}.safetensors"
        write_timm(bundle, file)
        theirs = timm.create_model(bundle.members[0].name, num_classes=3, checkpoint_path=str(file)).eval()
        with safe_open(file, "pt") as opened:
            facts = {key: json.loads(value) for key, value in opened.metadata().items() if key != "format"}
            assert set(opened.keys()) == set(theirs.state_dict())
            theirs.load_state_dict({key: opened.get_tensor(key) for key in opened.keys()}, strict=True)  # noqa: SIM118
        mean, std = (torch.tensor(facts["normalisation"][0][name]).view(3, 1, 1) for name in ("mean", "std"))
        with torch.inference_mode():
            expected = bundle.classifier(images)
            torch.testing.assert_close(theirs((images / 255 - mean) / std), expected, rtol=1e-4, atol=1e-5)
        assert (facts["model"], facts["classes"], facts["image_size"]) == ([bundle.members[0].name], CLASSES, 32)


def test_colour_constancy_is_in_the_graph_and_refused_for_timm(
    save_classifier: Callable[..., Path], images: torch.Tensor, tmp_path: Path
):
    plain = load_bundle(save_classifier(tmp_path / "plain.ckpt", CLASSES))
    content = torch.load(tmp_path / "plain.ckpt", weights_only=True)
    content["hyper_parameters"]["inputs"]["colour_constancy"] = "shades_of_gray"
    torch.save(content, tmp_path / "constant.ckpt")
    constant = load_bundle(tmp_path / "constant.ckpt")
    reddish = images // torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
    grey = [torch.from_numpy(shades_of_gray(each.permute(1, 2, 0).numpy().copy())).permute(2, 0, 1) for each in reddish]
    with torch.inference_mode():
        torch.testing.assert_close(constant.classifier(reddish), plain.classifier(torch.stack(grey)), atol=1e-3, rtol=0)
    assert write_onnx(constant, tmp_path / "m.onnx") < 1e-4
    with pytest.raises(UserError, match="timm has no Shades of Gray"):
        write_timm(constant, tmp_path / "m.safetensors")


@pytest.mark.parametrize("write", [save_bundle, write_timm, write_onnx])
def test_the_same_bundle_is_the_same_bytes(singles: list[Bundle], tmp_path: Path, write: Callable[..., object]):
    for name in ("a", "b"):
        write(singles[0], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_timm_can_not_hold_is_refused(singles: list[Bundle], tmp_path: Path):
    with pytest.raises(UserError, match="holds one network, not 2"):
        write_timm(ensemble(singles, ["a", "b"]), tmp_path / "x.safetensors")
    network = torch.nn.Sequential(CosineHead(3, 2, bias=False))
    cosine = replace(singles[0], members=(SimpleNamespace(classifier=SimpleNamespace(network=network)),))
    with pytest.raises(UserError, match="no cosine head"):
        write_timm(cosine, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "weights"), [("mean", None), ("geometric", None), ("weighted", [0.8, 0.2])], ids=lambda v: str(v)
)
def test_the_graph_combines_as_the_evaluation_does(
    singles: list[Bundle], images: torch.Tensor, method: str, weights: list[float] | None
):
    with torch.inference_mode():
        members = np.stack([bundle.classifier(images).softmax(1).numpy() for bundle in singles]).astype(float)
        got = Deployed(ensemble(singles, ["a", "b"], method=method, weights=weights))(images).numpy()
        alone = Deployed(singles[0])(images).numpy()
    np.testing.assert_allclose(got, combine(members, method, weights and np.array(weights)), atol=1e-6)
    np.testing.assert_allclose(alone, members[0], atol=1e-6)


def test_members_of_different_sizes_fit_into_no_graph(
    singles: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export, "_packages", lambda: (None, None))
    large = replace(singles[1], members=(replace(singles[1].members[0], image_size=64),))
    with pytest.raises(UserError, match="need images of different sizes"):
        write_onnx(ensemble([singles[0], large], ["a", "b"]), tmp_path / "x.onnx")


def test_a_missing_extra_is_named(singles: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"needs the package onnx, which is missing: pip install 'skinlab\[export\]'"):
        write_onnx(singles[0], tmp_path / "x.onnx")


def test_parity_is_the_worst_difference(tmp_path: Path):
    class Session:
        def __init__(self, path: str, providers: list[str]) -> None:
            pass

        def run(self, names: list[str], fed: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [fed["image"].mean((2, 3)) + np.array([0, 0.25 * (len(fed["image"]) > 1), 0])]

    runtime = SimpleNamespace(InferenceSession=Session)
    network = torch.nn.Module()
    network.forward = lambda x: x.mean((2, 3))
    assert parity(network, tmp_path, torch.rand(4, 3, 2, 2), runtime) == pytest.approx(0.25)
    network.forward = lambda x: x.mean((2, 3)) * float("nan")
    assert parity(network, tmp_path, torch.rand(4, 3, 2, 2), runtime) == float("inf")


def test_onnx_runtime_gives_the_same_probabilities(singles: list[Bundle], images: torch.Tensor, tmp_path: Path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pair = ensemble(singles, ["a", "b"], method="geometric")
    for name, bundle in (("one", singles[0]), ("two", pair)):
        file = tmp_path / f"{name}.onnx"
        assert write_onnx(bundle, file) < 1e-5
        session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (fed,) = session.get_inputs()
        assert (fed.type, fed.shape) == ("tensor(uint8)", ["n", 3, 32, 32])
        facts = session.get_modelmeta().custom_metadata_map
        assert (json.loads(facts["classes"]), json.loads(facts["image_size"])) == (CLASSES, 32)
        for n in (1, 5):
            with torch.inference_mode():
                expected = Deployed(bundle)(images[:n]).numpy()
            np.testing.assert_allclose(session.run(None, {"image": images[:n].numpy()})[0], expected, atol=1e-5)


def test_a_graph_that_differs_is_refused(singles: list[Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(export, "parity", lambda *_: 2e-4)
    with pytest.raises(UserError, match=r"differs from torch by 2\.0e-04 in a probability"):
        write_onnx(singles[0], tmp_path / "x.onnx")
