"""Grad-CAM shows what it must where the answer is known, on any CNN."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle
from skinlab.inference.saliency import feature_stage, gradcam
from skinlab.models.backbone import build_network


def shown(n: int, side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, side, side), np.uint8))


def test_before_a_linear_head_it_is_the_class_activation_map(save_classifier, tmp_path):
    """Zhou et al. (2016): the head's weights times the maps; the gradient of a mean is these weights over the cells."""
    classifier = load_bundle(save_classifier(tmp_path / "best.ckpt", ["a", "b", "c"])).classifier
    images, classes = shown(3, 128), [2, 0, 1]
    found = gradcam(classifier, images, classes)
    network = classifier.network
    assert feature_stage(network, classifier.normalise(images)) is network.layer4
    with torch.no_grad():
        maps = network.forward_features(classifier.normalise(images))
        expected = torch.einsum("bc,bchw->bhw", network.fc.weight[classes], maps).relu().numpy()
    assert found.shape == (3, 128, 128)
    for each, cam in zip(found, expected, strict=True):
        scaled = (cam - cam.min()) / (np.ptp(cam) + 1e-12)
        again = cv2.resize(scaled, (128, 128))
        again = (again - again.min()) / (np.ptp(again) + 1e-12)
        np.testing.assert_allclose(each, again, atol=1e-4)


class Bright(nn.Module):
    """A network without a list of stages that calls class 1 by bright places, class 0 by nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 1, 8, stride=8, bias=False)
        nn.init.constant_(self.maps.weight, 1 / 192)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.maps(x).mean((1, 2, 3))
        return torch.stack([0 * mean, mean], 1)


def test_it_points_at_the_place_and_at_nothing_for_nothing():
    classifier = SimpleNamespace(network=Bright(), device="cpu", normalise=lambda x: x.float())
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    images[:, :, 40:48, 8:16] = 255
    found = gradcam(classifier, images, [1, 0])
    row, column = np.unravel_index(found[0].argmax(), (64, 64))
    assert 38 <= row < 50
    assert 6 <= column < 18
    assert found[0].max() == pytest.approx(1)
    assert found[0, :24].max() == 0
    assert not found[1].any()


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "convnext_atto", "tf_efficientnet_lite0", "regnety_002"])
def test_any_cnn_has_a_stage(name):
    network = build_network(name, 2).eval()
    assert feature_stage(network, torch.zeros(1, 3, 128, 128)) is network.get_submodule(
        network.feature_info[-1]["module"]
    )
    small = feature_stage(network, torch.zeros(1, 3, 64, 64))
    assert small is network.get_submodule(network.feature_info[-2]["module"])
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_maps_is_refused():
    with pytest.raises(UserError, match="no feature maps"):
        feature_stage(build_network("test_vit", 2).eval(), torch.zeros(1, 3, 160, 160))


def test_nothing_stays_behind(save_classifier, tmp_path):
    classifier = load_bundle(save_classifier(tmp_path / "best.ckpt", ["a", "b"])).classifier
    images = shown(2, 32)
    with torch.inference_mode():
        before = classifier(images)
    first, second = gradcam(classifier, images, [0, 1]), gradcam(classifier, images[1:], [1])
    np.testing.assert_allclose(first[1], second[0], atol=1e-4)
    assert torch.equal(classifier(images), before)
    assert not any(module._forward_hooks for module in classifier.modules())
    with pytest.raises(IndexError):
        gradcam(classifier, images, [0, 5])


@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])
def test_of_a_transformer_it_weighs_the_patches_before_the_last_attention(name):
    """By hand: the mean gradient of each feature over the patches times the features; class tokens don't count."""
    torch.manual_seed(0)
    network = build_network(name, 3).eval()
    nn.init.normal_(network.head.weight)
    classifier = SimpleNamespace(network=network, device="cpu", normalise=lambda x: x.float() / 255 - 0.5)
    images, classes = shown(2, 160), [2, 0]
    found = gradcam(classifier, images, classes)
    kept = []
    handle = network.blocks[-1].norm1.register_forward_hook(lambda _, __, tokens: kept.append(tokens))
    logits = network(classifier.normalise(images).requires_grad_())
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[range(2), classes].sum(), kept)
    weights = gradient[:, 1:].mean(1, keepdim=True)
    expected = (weights * kept[0][:, 1:]).sum(2).relu().detach().view(2, 10, 10).numpy()
    assert expected.max(axis=(1, 2)).min() > 0
    for each, cam in zip(found, expected, strict=True):
        again = cv2.resize((cam - cam.min()) / np.ptp(cam), (160, 160))
        np.testing.assert_allclose(each, (again - again.min()) / np.ptp(again), atol=1e-4)
