"""Order, views and batches of inference."""

import numpy as np
import pytest
import timm
import torch

from skinlab.errors import UserError
from skinlab.models.prediction import CROP, STEP, VIEWS, predict_members, predict_probabilities, tta_views


def batches(images: torch.Tensor, size: int) -> list[dict[str, torch.Tensor]]:
    return [{"image": part} for part in images.split(size)]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (21, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    torch.manual_seed(1)
    model = timm.create_model("test_efficientnet", num_classes=4).eval().to(memory_format=torch.channels_last)
    return lambda x: 20 * model((x.float() - 128) / 50)


@pytest.mark.parametrize("tta", VIEWS)
def test_the_number_of_images_in_a_batch_changes_no_bit(network, images: torch.Tensor, tta: str):
    whole = predict_probabilities(network, batches(images, 21), tta=tta)
    assert whole.shape == (21, 4)
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-12)
    for size in (1, 7, 8, 20):
        np.testing.assert_array_equal(predict_probabilities(network, batches(images, size), tta=tta), whole)


def test_rows_keep_their_order_and_the_network_sees_equal_steps(images: torch.Tensor):
    seen = []

    def first_pixel(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape))
        return torch.stack([x[:, 0, 0, 0].float(), torch.zeros(len(x))], 1)

    got = predict_probabilities(first_pixel, batches(images, 5))
    expected = torch.stack([images[:, 0, 0, 0].double(), torch.zeros(21)], 1).softmax(1)
    np.testing.assert_allclose(got, expected.numpy())
    assert set(seen) == {(STEP["cpu"], 3, 32, 32)}


def test_the_views_are_the_symmetries_of_the_square():
    image = torch.arange(9).view(1, 1, 3, 3)
    seen = {name: {tuple(view(image).flatten().tolist()) for view in views} for name, views in VIEWS.items()}
    assert [len(seen[name]) for name in ("none", "flips", "d4")] == [1, 3, 8]
    assert len(VIEWS["multicrop"]) == 6
    assert seen["none"] < seen["flips"] < seen["d4"]
    assert torch.equal(VIEWS["none"][0](image), image)


def test_views_of_an_invariant_network_change_nothing(images: torch.Tensor):
    def network(x: torch.Tensor) -> torch.Tensor:
        return x.double().mean((2, 3))

    plain = predict_probabilities(network, batches(images, 21))
    for tta in ("flips", "d4"):
        np.testing.assert_allclose(predict_probabilities(network, batches(images, 21), tta=tta), plain, rtol=1e-12)


def test_crops_of_a_flat_image_are_the_image(images: torch.Tensor, network):
    flat = images[:, :, :1, :1].expand_as(images)
    for view in tta_views("multicrop"):
        assert torch.equal(view(flat), flat)
    plain = predict_probabilities(network, batches(flat, 21))
    np.testing.assert_allclose(predict_probabilities(network, batches(flat, 21), tta="multicrop"), plain, rtol=1e-12)


def test_crops_lie_in_the_centre_and_at_the_corners():
    whole, *crops = tta_views("multicrop")
    place = torch.arange(160, dtype=torch.float32)
    image = torch.stack([place.view(-1, 1).expand(160, 160), place.view(1, -1).expand(160, 160)])[None]
    assert torch.equal(whole(image), image)
    side = round(CROP * 160)
    middles = [
        [(side - 1) / 2 + start for start in corner] for corner in ((10, 10), (0, 0), (0, 20), (20, 0), (20, 20))
    ]
    shown = [view(image) for view in crops]
    assert all(view.shape == image.shape for view in shown)
    for view, middle in zip(shown, middles, strict=True):
        assert view.mean((0, 2, 3)).tolist() == pytest.approx(middle, abs=0.3)
        assert (view[0, 0, -1, 0] - view[0, 0, 0, 0]).item() == side - 1


def test_members_that_share_a_pass_get_what_each_gets_alone(network, images: torch.Tensor):
    networks = [network, lambda x: torch.nn.functional.pad(x.double().mean((2, 3)), (0, 1))]
    together = predict_members(networks, batches(images, 5), tta="flips")
    for member, alone in zip(together, networks, strict=True):
        np.testing.assert_array_equal(member, predict_probabilities(alone, batches(images, 21), tta="flips"))


def test_views_are_averaged_as_probabilities(network, images: torch.Tensor):
    mirrored = [predict_probabilities(network, batches(view(images), 21)) for view in tta_views("flips")]
    got = predict_probabilities(network, batches(images, 21), tta="flips")
    np.testing.assert_allclose(got, np.mean(mirrored, axis=0), atol=1e-5)


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(UserError, match=r"tta=flip: choose none, flips, d4, multicrop .did you mean flips"):
        tta_views("flip")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_agrees_with_itself_and_with_the_cpu(images: torch.Tensor):
    torch.manual_seed(1)
    model = timm.create_model("test_efficientnet", num_classes=4).eval()
    on_cpu = predict_probabilities(lambda x: model(x.float() / 255), batches(images, 21))
    model.cuda()
    one, seven = (
        predict_probabilities(lambda x: model(x.float() / 255), batches(images, size), device="cuda") for size in (1, 7)
    )
    np.testing.assert_array_equal(one, seven)
    np.testing.assert_allclose(one, on_cpu, atol=1e-2)
