"""Weights of a hub: downloaded once from a server on this machine, refused in one line where they can't be had."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from skinlab.errors import UserError
from skinlab.models.hub import download_weights
from skinlab.models.repository import RepositoryRecord, read_repository
from skinlab.models.weight_facts import WeightFacts, read_weight_facts
from tests.hub_server import COMMIT, Hub

TENSORS = save({"w": torch.arange(4.0)})
CARD = b"---\nlicense: cc-by-nc-4.0\n---\n# Weights\n"
CONFIG = json.dumps({"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}).encode()


def test_a_repository_is_downloaded_once_and_then_used_without_a_network(hub: Hub, monkeypatch):
    big = {"pytorch_model.bin": b"x", "model.safetensors": TENSORS, "onnx/model.onnx": b"x"}
    hub.files["a/net"] = {"README.md": CARD, "config.json": CONFIG} | big
    path = download_weights("hf-hub:a/net")
    assert (path.name, path.parent.name) == ("model.safetensors", COMMIT)
    assert path.read_bytes() == TENSORS
    assert read_weight_facts(path) == WeightFacts("cc-by-nc-4.0", (0.5,) * 3, (0.25,) * 3)
    assert not [each for each in hub.requests if each.endswith((".bin", ".onnx"))], "only what is needed"

    hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download_weights("hf-hub:a/net") == path
    assert download_weights(f"hf-hub:a/net@{COMMIT}") == path
    assert not hub.requests


def test_what_is_said_of_weights_is_there_before_them(hub: Hub):
    hub.files["a/net"] = {"README.md": CARD, "config.json": CONFIG, "model.safetensors": TENSORS}
    hub.broken.add("a/net")
    with pytest.raises(UserError, match=r"hf-hub:a/net: the download failed \(.*418.*\); repeat the command"):
        download_weights("hf-hub:a/net")
    hub.broken.clear()
    hub.requests.clear()
    assert read_weight_facts(download_weights("hf-hub:a/net")).licence == "cc-by-nc-4.0"
    assert not [each for each in hub.requests if each.startswith("GET") and each.endswith("README.md")]


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("hf-hub:a/nothing", r"no such repository of models, or a private one; look at http://127.*/a/nothing"),
        ("hf-hub:a/net@other", r"no such revision; http://127.*/a/net/commits/main lists them"),
        ("hf-hub:a/closed", r"is gated: accept its licence at http://127.*/a/closed, then hf auth login"),
        ("hf-hub:a/empty", r"has none of model\.safetensors, .*, but README\.md, weights\.h5; give model\.init=FILE"),
    ],
)
def test_what_can_not_be_had_is_refused_in_one_line(hub: Hub, init, message):
    hub.files |= {"a/net": {"model.safetensors": TENSORS}, "a/closed": {"model.safetensors": TENSORS}}
    hub.files["a/empty"] = {"README.md": CARD, "weights.h5": b"x"}
    hub.gated.add("a/closed")
    with pytest.raises(UserError, match=message) as raised:
        download_weights(init)
    assert str(raised.value).startswith(f"model.init={init}")
    assert "\n" not in str(raised.value)


def test_without_a_network_the_remedy_is_a_folder(hub: Hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    remedy = (
        r"HF_HUB_OFFLINE is set\); where there is a network: hf download a/net --local-dir DIR, then model\.init=DIR"
    )
    with pytest.raises(UserError, match=remedy):
        download_weights("hf-hub:a/net")
    assert not hub.requests


def write(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


MONET = {"model_type": "clip", "vision_config": {"hidden_size": 1024, "patch_size": 14, "hidden_act": "quick_gelu"}}
BIOMED = {
    "model_cfg": {"vision_cfg": {"timm_model_name": "vit_base_patch16_224"}},
    "preprocess_cfg": {"mean": [0.4] * 3},
}
LAION = {"model_cfg": {"vision_cfg": {"width": 768, "patch_size": 32, "image_size": 224}}}


def test_the_configurations_of_three_libraries(tmp_path):
    images = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.2]}
    monet = read_repository(write(tmp_path, config__json=MONET, preprocessor_config__json=images, README__md="none"))
    inputs = {"mean": images["image_mean"], "std": images["image_std"]}
    assert monet == RepositoryRecord(("vit_large_patch14_clip_quickgelu_224",), None, inputs, "clip")

    biomed = read_repository(write(tmp_path, open_clip_config__json=BIOMED, README__md="---\nlicense: mit\n---\n"))
    assert (biomed.networks, biomed.licence) == (("vit_base_patch16_224",), "mit")
    assert biomed.inputs == {"mean": [0.4] * 3, "std": (0.26862954, 0.26130258, 0.27577711)}
    assert read_repository(write(tmp_path, open_clip_config__json=LAION)).networks == ("vit_base_patch32_clip_224",)
    (tmp_path / "open_clip_config.json").unlink()

    card = "---\nlicense: other\nlicense_name: dinov3-license\n---\n"
    own = read_repository(write(tmp_path, config__json={"architecture": "vit_base_patch32_clip_224"}, README__md=card))
    assert own.networks == ("vit_base_patch32_clip_224", "vit_base_patch32_clip_quickgelu_224")
    assert own.licence == "dinov3-license"


def test_a_folder_with_other_configurations_says_nothing_or_is_refused(tmp_path):
    assert read_repository(tmp_path) == RepositoryRecord()
    assert read_repository(write(tmp_path, config__json={"lr": 1})) == RepositoryRecord()
    assert read_repository(write(tmp_path, config__json="{")) == RepositoryRecord()
    assert read_repository(write(tmp_path, config__json={"model_type": "dinov2"})).model_type == "dinov2"
    with pytest.raises(UserError, match="its configuration is damaged"):
        read_repository(write(tmp_path, open_clip_config__json={"model_cfg": "ViT"}))


def test_a_pickle_that_needs_code_is_refused(hub: Hub, tmp_path):
    from skinlab.models.weights import read_tensors

    hub.files["a/evil"] = {"pytorch_model.bin": pickle.dumps({"w": Path("x")}, protocol=4)}
    with pytest.raises(UserError, match="carries Python code"):
        read_tensors(download_weights("hf-hub:a/evil"))
