"""Penultimate features: what enters the head, whatever the batches hold."""

import numpy as np
import pytest
import torch

from skinlab.inference.bundle import load_bundle
from skinlab.models.backbone import head_name
from skinlab.models.features import Penultimate
from skinlab.models.prediction import predict_members, predict_probabilities


@pytest.fixture(scope="module")
def networks(save_classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    paths = [save_classifier(folder / f"{seed}.ckpt", ["a", "b", "c"], seed=seed) for seed in range(2)]
    return [load_bundle(path).classifier for path in paths]


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (21, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def predict_with_features(classifier, batches):
    with Penultimate([classifier]) as kept:
        probabilities = predict_probabilities(classifier, batches)
    return probabilities, kept.features(len(probabilities))


def test_the_head_makes_the_probabilities_of_them(networks, images):
    probabilities, features = predict_with_features(networks[0], [{"image": images}])
    head = networks[0].network.get_submodule(head_name(networks[0].network))
    with torch.inference_mode():
        again = head(torch.from_numpy(features)).double().softmax(1).numpy()
    np.testing.assert_allclose(again, probabilities, atol=1e-5)
    assert (probabilities == predict_probabilities(networks[0], [{"image": images}])).all()


def test_no_bit_depends_on_the_batches(networks, images):
    _, whole = predict_with_features(networks[0], [{"image": images}])
    _, cut = predict_with_features(networks[0], [{"image": part} for part in images.split([1, 9, 3, 8])])
    assert (whole == cut).all()
    assert len(whole) == len(images)


def test_features_of_several_stand_side_by_side_at_length_one(networks, images):
    alone = [predict_with_features(each, [{"image": images}])[1] for each in networks]
    with Penultimate(networks) as kept:
        predict_members(networks, [{"image": images}])
    both = kept.features(len(images))
    alone = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in alone]
    np.testing.assert_allclose(both, np.concatenate(alone, 1), rtol=1e-6)


def test_nothing_is_kept_once_it_is_closed(networks, images):
    with Penultimate(networks[:1]) as kept:
        pass
    predict_probabilities(networks[0], [{"image": images}])
    assert kept.recorded == [[]]


def test_a_head_that_is_a_convolution_gets_the_mean_of_its_maps():
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 2, 1))
    network.pretrained_cfg = {"classifier": "0"}
    maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    with Penultimate([network]) as kept:
        network(maps)
    np.testing.assert_allclose(kept.features(2), maps.mean((2, 3)))
