"""Published files of DINOv2, DINOv3, ConvNeXt and CLIP: tiny networks of timm's architectures, in these layouts."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import register_model
from timm.models.convnext import convnext_tiny
from timm.models.eva import vit_small_patch16_dinov3
from timm.models.vision_transformer import (
    vit_small_patch14_dinov2,
    vit_small_patch14_reg4_dinov2,
    vit_xsmall_patch16_clip_224,
)
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu, layer_norm, scaled_dot_product_attention

from skinlab.callbacks.freeze import FreezeBackbone
from skinlab.inference.saliency import gradcam
from skinlab.models.backbone import build_network, head_parameters, initialise
from skinlab.models.optim import build_optimizer

State = dict[str, Tensor]
SMALL = {"embed_dim": 24, "depth": 3, "num_heads": 3}


@register_model
def tiny_dinov2(pretrained: bool = False, **kwargs) -> nn.Module:
    return vit_small_patch14_dinov2(pretrained, **SMALL | kwargs)


@register_model
def tiny_dinov2_reg4(pretrained: bool = False, **kwargs) -> nn.Module:
    return vit_small_patch14_reg4_dinov2(pretrained, **SMALL | kwargs)


@register_model
def tiny_dinov3(pretrained: bool = False, **kwargs) -> nn.Module:
    return vit_small_patch16_dinov3(pretrained, **SMALL | kwargs)


@register_model
def tiny_convnext(pretrained: bool = False, **kwargs) -> nn.Module:
    return convnext_tiny(pretrained, **{"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)} | kwargs)


@register_model
def tiny_clip(pretrained: bool = False, **kwargs) -> nn.Module:
    return vit_xsmall_patch16_clip_224(pretrained, **SMALL | kwargs)


def dinov2(state: State) -> State:
    """Meta's layout: positions include that of the class token, register tokens have none."""
    state = state | {"mask_token": torch.zeros(1, 24)}
    if "reg_token" in state:
        place = torch.full((1, 1, 24), 0.5)
        state |= {"register_tokens": state.pop("reg_token"), "pos_embed": torch.cat([place, state["pos_embed"]], 1)}
        state["cls_token"] = state["cls_token"] - place
    return state


def dinov3(state: State) -> State:
    """Meta's layout: attention has a bias whose middle third is masked, and the periods of its rotary positions."""
    names = {"gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma", "reg_token": "storage_tokens"}
    found = {re.sub("|".join(names), lambda old: names[old[0]], key): value for key, value in state.items()}
    biases = {f"blocks.{i}.attn.qkv.{name}": torch.zeros(72) for i in range(3) for name in ("bias", "bias_mask")}
    return found | biases | {"mask_token": torch.zeros(1, 24), "rope_embed.periods": torch.ones(2)}


def convnext(state: State) -> State:
    """Meta's layout."""
    renames = [(r"stem\.", "downsample_layers.0."), (r"stages\.(\d)\.downsample", r"downsample_layers.\1")]
    renames += [(r"stages\.(\d)\.blocks", r"stages.\1"), ("conv_dw", "dwconv"), (r"mlp\.fc", "pwconv")]
    found = {}
    for key, value in state.items():
        for ours, theirs in [*renames, (r"^head\.norm", "norm"), (r"head\.fc", "head")]:
            key = re.sub(ours, theirs, key)
        found[key] = value
    return found


def transformers_clip(state: State) -> State:
    """The layout of CLIPModel in transformers, with something of the text tower."""
    names = {
        "norm_pre": "pre_layrnorm",
        "patch_embed.proj": "embeddings.patch_embedding",
        "attn.proj": "self_attn.out_proj",
    }
    found = {"text_model.final_layer_norm.weight": torch.zeros(24), "logit_scale": torch.zeros(())}
    found["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    for key, value in state.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        key = re.sub(r"blocks\.(\d)\.norm(\d)", r"encoder.layers.\1.layer_norm\2", key)
        key = re.sub(r"^norm", "post_layernorm", key.replace("blocks.", "encoder.layers."))
        if "attn.qkv" in key:
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                found["vision_model." + key.replace("attn.qkv", f"self_attn.{letter}_proj")] = part.contiguous()
        elif key == "cls_token":
            found["vision_model.embeddings.class_embedding"] = value.flatten()
        elif key == "pos_embed":
            found["vision_model.embeddings.position_embedding.weight"] = value[0]
        elif not key.startswith("head"):
            found[f"vision_model.{key}"] = value
    return found


LAYOUTS = {
    "tiny_dinov2": (dinov2, 28),
    "tiny_dinov2_reg4": (dinov2, 28),
    "tiny_dinov3": (dinov3, 32),
    "tiny_convnext": (convnext, 64),
    "tiny_clip": (transformers_clip, 32),
}
every_network = pytest.mark.parametrize("name", LAYOUTS)


def random_network(name: str, side: int, seed: int = 0) -> nn.Module:
    """A network all of whose parameters are random: those that start at 0 or 1, too."""
    sized = {} if "convnext" in name else {"image_size": side}
    network = build_network(name, 2, **sized)
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


@torch.no_grad()
def features(network: nn.Module, side: int) -> Tensor:
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    return network.forward_head(network.forward_features(images), pre_logits=True)


@every_network
def test_published_tensors_give_the_features_of_timm_s(name, tmp_path, capsys):
    publish, side = LAYOUTS[name]
    theirs, ours = random_network(name, side), random_network(name, side, seed=1)
    save_file(publish(dict(theirs.state_dict())), tmp_path / "w.safetensors")
    before = ours.get_parameter(min(head_parameters(ours))).clone()
    initialise(ours, name, str(tmp_path / "w.safetensors"))
    torch.testing.assert_close(features(ours, side), features(theirs, side))
    assert torch.equal(ours.get_parameter(min(head_parameters(ours))), before), "the head stays random"
    assert not capsys.readouterr().out


@every_network
def test_at_another_image_size_the_features_are_those_that_timm_loads(name, tmp_path):
    side = LAYOUTS[name][1]
    save_file(random_network(name, side).state_dict(), tmp_path / "w.safetensors")
    ours = random_network(name, 2 * side, seed=1)
    initialise(ours, name, str(tmp_path / "w.safetensors"))
    sized = {} if "convnext" in name else {"img_size": 2 * side}
    overlay = {"file": str(tmp_path / "w.safetensors"), "num_classes": 2}
    theirs = timm.create_model(name, pretrained=True, num_classes=2, pretrained_cfg_overlay=overlay, **sized).eval()
    torch.testing.assert_close(features(ours, 2 * side), features(theirs, 2 * side))


@torch.no_grad()
def test_clip_s_image_tower_by_hand(tmp_path):
    """The forward pass of Radford et al. (2021) from the published tensors alone, by torch's own attention."""
    network = random_network("tiny_clip", 32)
    state = transformers_clip(dict(network.state_dict()))
    get = {key.removeprefix("vision_model."): value for key, value in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, (24,), get[f"{name}.weight"], get[f"{name}.bias"], 1e-5)

    def linear(x: Tensor, name: str) -> Tensor:
        return nn.functional.linear(x, get[f"{name}.weight"], get[f"{name}.bias"])

    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    patches = conv2d(images, get["embeddings.patch_embedding.weight"], stride=16).flatten(2).transpose(1, 2)
    tokens = torch.cat([get["embeddings.class_embedding"].expand(2, 1, -1), patches], 1)
    tokens = norm(tokens + get["embeddings.position_embedding.weight"], "pre_layrnorm")
    for layer in (f"encoder.layers.{i}" for i in range(3)):
        x = norm(tokens, f"{layer}.layer_norm1")
        heads = [
            linear(x, f"{layer}.self_attn.{each}_proj").view(2, 5, 3, 8).transpose(1, 2) for each in ("q", "k", "v")
        ]
        mixed = scaled_dot_product_attention(*heads).transpose(1, 2).reshape(2, 5, 24)
        tokens = tokens + linear(mixed, f"{layer}.self_attn.out_proj")
        hidden = gelu(linear(norm(tokens, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1"))
        tokens = tokens + linear(hidden, f"{layer}.mlp.fc2")

    for published in (state, get):  # a file of both towers, and one of the image tower alone
        save_file(published, tmp_path / "w.safetensors")
        ours = random_network("tiny_clip", 32, seed=1)
        initialise(ours, "tiny_clip", str(tmp_path / "w.safetensors"))
        torch.testing.assert_close(features(ours, 32), norm(tokens[:, 0], "post_layernorm"), rtol=1e-4, atol=1e-4)


@every_network
def test_layer_decay_freezing_and_grad_cam(name):
    side = 2 * LAYOUTS[name][1]
    network = random_network(name, side)
    settings = {"name": "adamw", "lr": 1.0, "weight_decay": 0.05, "layer_decay": 0.5}
    groups = build_optimizer(network, settings).param_groups
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    rates = {key: rate[id(parameter)] for key, parameter in network.named_parameters()}
    stem = next(key for key in rates if key.startswith(("patch_embed", "stem")))
    first, last = (next(key for key in order if "mlp.fc1" in key) for order in (rates, reversed(rates)))
    assert rates[stem] < rates[first] < rates[last] < rates[min(head_parameters(network))] == 1

    for epoch, trained in ((0, head_parameters(network)), (1, set(rates))):
        trainer, module = SimpleNamespace(current_epoch=epoch), SimpleNamespace(network=network)
        FreezeBackbone(1).on_train_epoch_start(trainer, module)
        assert {key for key, each in network.named_parameters() if each.requires_grad} == trained

    classifier = SimpleNamespace(network=network, device="cpu", normalise=lambda x: x.float() / 255 - 0.5)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, side, side), np.uint8))
    maps = gradcam(classifier, images, [0, 1])
    assert maps.shape == (2, side, side)
    assert (maps.min(), maps.max()) == pytest.approx((0, 1))
