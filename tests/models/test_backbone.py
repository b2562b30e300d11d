"""Networks by name, their heads and their first weights."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from skinlab.cli.config import compose_settings
from skinlab.errors import UserError
from skinlab.models.backbone import (
    CosineHead,
    build_network,
    check_network,
    has_depthwise,
    head_name,
    head_parameters,
    initialise,
    normalisation,
)
from skinlab.models.weights import read_checkpoint


def backbone_equals(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    head = head_name(network)
    ours = {key: value for key, value in network.state_dict().items() if not key.startswith(head)}
    return all(torch.equal(value, state[key]) for key, value in ours.items())


def test_the_cosine_head_sees_angles_only():
    torch.manual_seed(0)
    head, features = CosineHead(5, 3, bias=False), torch.randn(4, 5)
    by_hand = 30 * torch.nn.functional.cosine_similarity(features[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(features), by_hand)
    torch.testing.assert_close(head(7 * features), head(features))
    with torch.no_grad():
        head.weight *= 3
    torch.testing.assert_close(head(features), by_hand)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "densenet121", "convnext_tiny"])
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_every_family_gets_its_head(name: str, head: str):
    with torch.device("meta"):
        network = build_network(name, 5, head=head)
    layer = network.get_submodule(head_name(network))
    assert isinstance(layer, CosineHead) == (head == "cosine")
    assert layer.weight.shape[0] == 5
    assert head_parameters(network) == {f"{head_name(network)}.{name}" for name, _ in layer.named_parameters()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18.nosuch", r"model.name=resnet18.nosuch: timm has no such tag; choose .*a1_in1k"),
        ("resnet18.a1_in1", "did you mean a1_in1k"),
        ("resnt18", "did you mean resnet18"),
        ("hf-hub:a/b", r"names weights: set model\.init=hf-hub:a/b, and model\.name to their network"),
        (18, "model.name=18: timm has no such model"),
        ("", "timm has no such model"),
    ],
)
def test_a_network_that_timm_does_not_have_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        build_network(name, 2)


def test_a_network_of_one_image_size_is_built_for_the_size_of_the_images():
    settings, network = check_network({"name": "test_vit"}, 3, image_size=64, batch_size=4)
    assert settings == {"name": "test_vit", "image_size": 64}
    assert network(torch.zeros(1, 3, 64, 64, device="meta")).shape == (1, 3)
    assert check_network({"name": "test_vit"}, 3, image_size=160, batch_size=4)[0] == {"name": "test_vit"}


@pytest.mark.parametrize(
    ("name", "size", "remedy"),
    [("test_vit", 100, 160), ("test_convnext", 2, 160)],
)
def test_images_of_a_size_that_a_network_can_not_take_are_refused(name, size, remedy):
    message = rf"^model.name={name} takes no images of {size} px \(.*\); set data.image_size={remedy}$"
    with pytest.raises(UserError, match=message):
        check_network({"name": name}, 2, image_size=size, batch_size=8)


def test_a_batch_of_one_image_is_refused_where_batch_normalisation_needs_two():
    with pytest.raises(UserError, match=r"data\.batch_size: .* at 32 px .* needs two; set data\.batch_size=2"):
        check_network({"name": "resnet18"}, 2, image_size=32, batch_size=1)
    check_network({"name": "resnet18"}, 2, image_size=32, batch_size=1, frozen=True)
    check_network({"name": "resnet18"}, 2, image_size=64, batch_size=1)  # 2 x 2 values a channel
    check_network({"name": "test_vit"}, 2, image_size=32, batch_size=1)


def test_imagenet_weights_of_a_vit_are_resampled_to_the_size_of_the_images(tmp_path, monkeypatch):
    save_file(build_network("test_vit", 1000).state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("skinlab.models.weights.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    network = build_network("test_vit", 2, image_size=64)
    assert initialise(network, "test_vit", "imagenet", image_size=64) == "imagenet"


def test_facts_of_a_backbone():
    with torch.device("meta"):
        lite, resnet = build_network("tf_efficientnet_lite0", 2), build_network("resnet18", 2)
    assert normalisation(lite) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert normalisation(resnet)[0] == (0.485, 0.456, 0.406)
    assert has_depthwise(lite)
    assert not has_depthwise(resnet)


def test_mistyped_names_and_values_are_refused():
    with pytest.raises(UserError, match="did you mean resnet18"):
        build_network("resnet_18", 2)
    with pytest.raises(UserError, match=r"model\.head=cosin: .*did you mean cosine"):
        compose_settings("train", ["model.head=cosin"])
    with pytest.raises(UserError, match=r"model\.dropout=7"):
        compose_settings("train", ["model.dropout=7"])


def test_a_checkpoint_of_other_classes_gives_its_backbone(save_classifier: Callable[..., Path], tmp_path: Path):
    path = save_classifier(tmp_path / "best.ckpt", ["a", "b", "c"], seed=5)
    saved = {k.removeprefix("network."): v for k, v in read_checkpoint(path)["state_dict"].items()}
    for head in ("linear", "cosine"):
        network = build_network("test_resnet", 7, head=head)
        before = network.get_submodule(head_name(network)).weight.clone()
        assert initialise(network, "test_resnet", str(path)) == str(path)
        assert backbone_equals(network, saved)
        assert torch.equal(network.get_submodule(head_name(network)).weight, before)


def test_a_headless_safetensors_file_gives_its_backbone(tmp_path: Path):
    state = build_network("test_resnet", 3).state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith("fc.")}, tmp_path / "backbone.safetensors")
    network = build_network("test_resnet", 2)
    initialise(network, "test_resnet", str(tmp_path / "backbone.safetensors"))
    assert backbone_equals(network, state)


def test_files_that_do_not_fit_are_refused(tmp_path: Path):
    save_file(build_network("test_efficientnet", 2).state_dict(), tmp_path / "other.safetensors")
    state = build_network("test_resnet", 2).state_dict()
    state["conv1.0.weight" if "conv1.0.weight" in state else "conv1.weight"] = torch.zeros(1, 1, 1, 1)
    save_file(state, tmp_path / "wrong.safetensors")
    network = build_network("test_resnet", 2)
    for name, message in {
        "other.safetensors": "of another architecture",
        "wrong.safetensors": r"has shape \(1, 1, 1, 1\)",
        "": "is a directory",
    }.items():
        with pytest.raises(UserError, match=message):
            initialise(network, "test_resnet", str(tmp_path / name))


def test_a_pretraining_s_checkpoint_is_refused_for_its_record(tmp_path: Path):
    network = build_network("test_resnet", 2)
    state = {f"backbone.{key}": value for key, value in network.state_dict().items()} | {"method.head": torch.zeros(1)}
    torch.save({"state_dict": state}, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=r"give its run directory, or backbone\.safetensors in it"):
        initialise(network, "test_resnet", str(tmp_path / "best.ckpt"))


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    network = build_network("test_resnet", 2)
    with pytest.raises(UserError, match=r"no weights for test_resnet: .*; give model\.init=FILE"):
        initialise(network, "test_resnet", "imagenet")
    with caplog.at_level(logging.WARNING):
        assert initialise(network, "test_resnet", "auto") == "random"
    assert "RANDOM weights" in caplog.text
    caplog.clear()
    assert initialise(network, "test_resnet", "random") == "random"
    assert not caplog.text


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_the_first_logits_are_near_zero(name):
    """timm draws an EfficientNet's head for 1,000 classes; with seven its first loss would be 5, not ln 7."""
    network = build_network(name, 7).eval()
    initialise(network, name, "auto")
    with torch.no_grad():
        assert network(torch.randn(4, 3, 64, 64)).abs().max() < 1


def test_published_tensors_get_timm_s_names_and_the_image_size_of_the_run(tmp_path):
    theirs = build_network("test_vit2", 1000)
    resampled = build_network("test_vit2", 3, image_size=64)
    save_file(theirs.state_dict(), tmp_path / "vit.safetensors")
    assert initialise(resampled, "test_vit2", str(tmp_path / "vit.safetensors")).endswith("vit.safetensors")
    expected = resample_abs_pos_embed(theirs.pos_embed, [4, 4], num_prefix_tokens=1)
    torch.testing.assert_close(resampled.pos_embed, expected)
    torch.testing.assert_close(resampled.blocks[0].attn.qkv.weight, theirs.blocks[0].attn.qkv.weight)

    tower = {f"visual.trunk.{name}": value for name, value in theirs.state_dict().items()}
    tower |= {"visual.head.proj.weight": torch.zeros(2, 64), "text.weight": torch.zeros(2)}
    save_file(tower, tmp_path / "open_clip.safetensors")
    clip = build_network("test_vit2", 3)
    initialise(clip, "test_vit2", str(tmp_path / "open_clip.safetensors"))
    torch.testing.assert_close(clip.blocks[1].mlp.fc1.weight, theirs.blocks[1].mlp.fc1.weight)

    with pytest.raises(UserError, match="another architecture"):
        initialise(build_network("test_vit2", 3), "test_vit2", str(write_resnet(tmp_path)))


def write_resnet(folder):
    save_file(build_network("test_resnet", 3).state_dict(), folder / "resnet.safetensors")
    return folder / "resnet.safetensors"
