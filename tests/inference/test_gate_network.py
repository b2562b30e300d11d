"""The gate's network: timm's own first stages, the same in any company, and refused when damaged."""

import io
from typing import Any

import numpy as np
import pytest
import timm
import torch

from skinlab.inference.gate import SIZE, STATISTICS, Gate, gate_from_dict, image_statistics
from skinlab.inference.gate_network import NAME, STAGES, WIDTH, GateNetwork


@pytest.fixture(scope="module")
def whole() -> Any:
    torch.manual_seed(0)
    return timm.create_model(NAME).eval()


@pytest.fixture(scope="module")
def network(whole: Any) -> GateNetwork:
    return GateNetwork(whole.state_dict())


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@torch.inference_mode()
def test_features_are_the_channel_means_of_timm_s_stages(whole: Any, network: GateNetwork, image: np.ndarray):
    seen: list[torch.Tensor] = []
    hooks = [whole.blocks[i].register_forward_hook(lambda m, i, out: seen.append(out.mean((2, 3)))) for i in STAGES]
    mean, std = (torch.tensor(whole.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    whole((torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - mean) / std)
    for hook in hooks:
        hook.remove()
    features = network.features(image)
    assert features.shape == (WIDTH,)
    np.testing.assert_allclose(features, torch.cat(seen, 1)[0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_view_with_negative_strides_is_no_matter(network: GateNetwork, image: np.ndarray):
    np.testing.assert_array_equal(network.features(image[:, ::-1]), network.features(image[:, ::-1].copy()))


def gate(network: GateNetwork) -> Gate:
    width = len(STATISTICS) + WIDTH
    return Gate(np.zeros(width), np.ones(width), np.eye(width), 3.0, 0.99, {"network": True}, network)


def test_a_gate_checks_statistics_and_then_features(network: GateNetwork, image: np.ndarray):
    seen = gate(network).statistics(image)
    np.testing.assert_array_equal(seen, [*image_statistics(image), *network.features(image)])
    large = image.repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(gate(network).statistics(large), seen, atol=1e-9)


def test_a_gate_goes_with_its_network_through_a_file_of_tensors(network: GateNetwork, image: np.ndarray):
    file = io.BytesIO()
    torch.save(gate(network).to_dict(), file)
    file.seek(0)
    again = gate_from_dict(torch.load(file, weights_only=True))
    np.testing.assert_array_equal(
        again.distance_ratio(again.statistics(image)), gate(network).distance_ratio(gate(network).statistics(image))
    )
    assert file.getbuffer().nbytes < 4e6


def test_a_damaged_network_is_refused(network: GateNetwork):
    content = gate(network).to_dict()
    name = "blocks.4.0.conv_pw.weight"
    good = content["network"][name]
    for bad in (None, good[:1], torch.full_like(good, torch.nan), [1.0]):
        with pytest.raises(ValueError, match=rf"its input gate's network has a wrong {name}"):
            gate_from_dict(content | {"network": content["network"] | {name: bad}})
    with pytest.raises(ValueError, match="a wrong mean"):
        gate_from_dict(content | {"network": None})
