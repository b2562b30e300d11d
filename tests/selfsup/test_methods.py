"""Methods by name, their settings and their identities."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from skinlab.errors import UserError
from skinlab.selfsup.denoise import cut_out
from skinlab.selfsup.encoder import Encoder
from skinlab.selfsup.methods import build_method, check_batch, default_arguments, method_class
from tests.choices import choices, read_choice


class Flat(nn.Module):
    """A backbone without BatchNorm: features of an image are its pixels, mapped."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 24)

    def forward(self, images):
        return self.layer(images.flatten(1)).tanh()


def method_of(name: str, backbone: nn.Module, settings: dict, n_features: int = 24):
    return build_method(read_choice("ssl", name) | settings, backbone, n_features)


def small_views(n: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, 8, 8, generator=generator) for _ in range(2)]


def nt_xent(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Equation 1 of Chen et al., 2020, term by term."""
    z = np.concatenate([first, second])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    similarity, n = z @ z.T / temperature, len(first)
    terms = []
    for i in range(2 * n):
        others = [k for k in range(2 * n) if k != i]
        terms.append(-similarity[i, (i + n) % (2 * n)] + np.log(np.exp(similarity[i, others]).sum()))
    return float(np.mean(terms))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_is_the_formula(temperature):
    torch.manual_seed(0)
    backbone = Flat()
    method = method_of("simclr", backbone, {"temperature": temperature, "hidden_dim": 16, "output_dim": 8})
    views = small_views()
    loss = method(views, Encoder(backbone))
    first, second = (method.head(backbone(view)).detach().double().numpy() for view in views)
    assert float(loss) == pytest.approx(nt_xent(first, second, temperature), rel=1e-5)


@pytest.mark.parametrize("name", ["simclr", "byol", "simsiam", "barlow_twins", "vicreg"])
def test_the_two_views_may_be_swapped(name):
    torch.manual_seed(0)
    backbone = Flat()
    method = method_of(name, backbone, {"hidden_dim": 16, "output_dim": 8})
    views = small_views()
    forth, back = (float(method(v, Encoder(backbone))) for v in (views, views[::-1]))
    assert forth == pytest.approx(back, rel=1e-5)


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_targets_get_no_gradient(name):
    """Equal views and a perfect prediction: nothing pulls, whichever way the target might move."""
    torch.manual_seed(0)
    backbone = Flat()
    method = method_of(name, backbone, {"hidden_dim": 16, "output_dim": 8})
    method.predict = nn.Identity()
    view = small_views()[0]
    method([view, view], Encoder(backbone)).backward()
    assert float(backbone.layer.weight.grad.abs().max()) < 1e-5
    assert all(p.grad is None for n, p in method.named_parameters() if n.startswith("teacher"))


def test_moco_is_the_formula_and_its_keys_join_the_queue():
    torch.manual_seed(0)
    backbone = Flat()
    method = method_of("moco", backbone, {"hidden_dim": 16, "output_dim": 8, "queue": 20, "temperature": 0.2})
    views, bank = small_views(), method.criterion.memory_bank
    negatives = bank.bank.clone()
    loss = method(views, Encoder(backbone))
    queries = nn.functional.normalize(method.head(backbone(views[0])))
    keys = nn.functional.normalize(method.teacher(views[1]))
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ negatives.T], dim=1) / 0.2
    assert float(loss) == pytest.approx(float((logits.logsumexp(1) - logits[:, 0]).mean()), rel=1e-5)
    torch.testing.assert_close(bank.bank[:8], keys)
    assert torch.equal(bank.bank[8:], negatives[8:])


def test_dino_centres_on_the_mean_of_the_teacher():
    torch.manual_seed(0)
    backbone = Flat()
    settings = {"hidden_dim": 16, "output_dim": 8, "bottleneck_dim": 4, "center_momentum": 0.9, "local_views": 0}
    method = method_of("dino", backbone, settings)
    views = small_views()
    targets = torch.stack([method.teacher(view) for view in views])
    method(views, Encoder(backbone))
    center = 0.1 * targets.mean(dim=(0, 1))
    torch.testing.assert_close(method.criterion.center[0, 0], center)
    method(views, Encoder(backbone))
    torch.testing.assert_close(method.criterion.center[0, 0], 0.9 * center + 0.1 * targets.mean(dim=(0, 1)))


def test_dino_is_the_formula():
    torch.manual_seed(0)
    backbone = Flat()
    settings = {"hidden_dim": 16, "output_dim": 8, "bottleneck_dim": 4, "local_views": 2, "warmup_epochs": 2}
    method = method_of("dino", backbone, settings)
    views = small_views() + [view.flip(-1) for view in small_views()]
    for epoch, temperature in enumerate([0.04, 0.07, 0.07]):
        method.start_epoch(epoch)
        center = method.criterion.center[0, 0].clone()
        student = [(method.head(backbone(view)) / 0.1).log_softmax(1) for view in views]
        teacher = [((method.teacher(view) - center) / temperature).softmax(1) for view in views[:2]]
        pairs = [-(t * s).sum(1).mean() for i, t in enumerate(teacher) for j, s in enumerate(student) if i != j]
        assert float(method(views, Encoder(backbone))) == pytest.approx(float(sum(pairs) / len(pairs)), rel=1e-5)


def test_denoise_reconstructs_whole_images_from_noisy_ones():
    torch.manual_seed(0)
    backbone = timm.create_model("test_resnet", num_classes=0)
    method = method_of("denoise", backbone, {"width": 16}, 96)
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        for parameter in method.decoder[-1].parameters():
            parameter.zero_()
    assert float(method([images], Encoder(backbone))) == pytest.approx(float(images.abs().mean()))


def test_a_hole_is_a_square_of_its_size():
    torch.manual_seed(0)
    holes = cut_out(torch.ones(200, 3, 32, 32), 0.5)[:, 0] == 0
    assert torch.equal(cut_out(torch.ones(2, 3, 8, 8), 0.0), torch.ones(2, 3, 8, 8))
    sides = holes.any(1).sum(1)
    assert int(sides.max()) == 16
    assert torch.equal(holes, holes.any(1)[:, None, :] & holes.any(2)[:, :, None])
    # A square whose middle is anywhere in the image: on average 7/8 of each side lies within.
    assert float(holes.float().mean()) == pytest.approx((0.5 * 7 / 8) ** 2, rel=0.1)


@pytest.mark.parametrize("name", choices("ssl"))
def test_every_config_holds_the_defaults(name):
    content = read_choice("ssl", name)
    assert content.pop("name") == name
    method = method_class(content)
    assert content.pop("_target_") == f"{method.__module__}.{method.__name__}"
    assert content == default_arguments(method)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("simclr", {"_target_": "skinlab.losses.focal.Focal"}, r"give a subclass of skinlab\.selfsup\.method\.Method"),
        ("simclr", {"_target_": "os.path.Method"}, "outside the allowed packages"),
        ("simclr", {"temprature": 0.1}, "did you mean temperature"),
        ("simclr", {"temperature": 0.0}, "ssl.temperature=0.0"),
        ("simclr", {"hidden_dim": 2.5}, "whole number"),
        ("simclr", {"batch_norm": 1}, "true or false"),
        ("byol", {"momentum": 1.5}, "at most 1"),
        ("moco", {"queue": 0}, "at least 1"),
        ("dino", {"local_views": -1}, "at least 0"),
        ("byol", {"hidden_dim": "wide"}, "whole number"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(name, settings, message):
    with pytest.raises(UserError, match=message) as error:
        method_of(name, Flat(), settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", choices("ssl"))
def test_every_method_says_how_many_images_it_needs(name):
    settings = read_choice("ssl", name)
    least = method_class(settings).min_batch
    check_batch(settings, least)
    with pytest.raises(UserError, match="batch_size"):
        check_batch(settings, least - 1)
