"""The probe between epochs, and the stop at a collapse."""

from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from skinlab.callbacks import probe as probe_module
from skinlab.callbacks.assembly import choose_monitor
from skinlab.callbacks.probe import PROBE_METRICS, Probe
from skinlab.callbacks.safety import StopAtCollapse
from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.errors import UserError
from skinlab.models.backbone import build_network
from skinlab.models.prediction import embed


class Colours(pl.LightningModule):
    """Features of an image: its mean colours."""

    n_features = 3

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((2, 3))


@pytest.fixture
def dataset(tmp_path) -> ImageDataset:
    """Forty images, red ones and blue ones."""
    import cv2

    rng = np.random.default_rng(0)
    for number in range(40):
        image = rng.integers(0, 120, (20, 20, 3), np.uint8)
        image[..., 0 if number % 2 else 2] += 120
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    return ImageDataset(paths, [number % 2 for number in range(40)], size=16)


def at(epoch: int, max_epochs: int = 5, **more) -> SimpleNamespace:
    strategy = SimpleNamespace(broadcast=lambda figures: figures)
    given = {"current_epoch": epoch, "max_epochs": max_epochs, "is_global_zero": True, "strategy": strategy}
    return SimpleNamespace(**given | more)


def test_it_runs_every_few_epochs_and_at_the_last(dataset):
    probe, module = Probe(dataset, [str(i) for i in range(40)], 2, every_n_epochs=2), Colours()
    logged, kept = [], dict.fromkeys(PROBE_METRICS, 1.0)  # as Lightning keeps them
    module.log_dict = logged.append
    ran = []
    for epoch in range(5):
        probe.on_train_epoch_end(at(epoch, callback_metrics=kept), module)
        ran.append(bool(probe.state_dict()["metrics"]))
        if epoch == 2:
            assert not kept, "early stopping would count the former probe again"
    assert ran == [False, True, False, True, True]
    assert [sorted(figures) for figures in logged] == [sorted(PROBE_METRICS)] * 3
    assert all(value == 1.0 for value in logged[0].values())


@pytest.mark.parametrize(("limit", "n_loaded"), [(40 * 3 * 16 * 16, 1), (40 * 3 * 16 * 16 - 1, 3)])
def test_its_images_are_decoded_once_unless_they_need_too_much_memory(dataset, monkeypatch, limit, n_loaded):
    loaders = []
    monkeypatch.setattr(probe_module, "KEPT_BYTES", limit)
    monkeypatch.setattr(
        probe_module, "batch_loader", lambda *args, **more: loaders.append(args) or batch_loader(*args, **more)
    )
    probe = Probe(dataset, [str(i) for i in range(40)], 2)
    assert [probe.measure(Colours()) for _ in range(3)] == [dict.fromkeys(PROBE_METRICS, 1.0)] * 3
    assert len(loaders) == n_loaded


def test_the_curve_has_an_origin_that_a_continued_run_keeps(dataset):
    logged = []
    logger = SimpleNamespace(log_metrics=lambda figures, step: logged.append((figures, step)))
    first, second = (Probe(dataset, [str(i) for i in range(40)], 2) for _ in range(2))
    first.on_train_start(at(0, global_step=0, loggers=[logger]), Colours())
    second.load_state_dict(first.state_dict())
    second.on_train_start(at(3, global_step=7, loggers=[logger]), Colours())
    assert logged == [(dict.fromkeys(PROBE_METRICS, 1.0), 0)]
    assert second.state_dict()["start"] == dict.fromkeys(PROBE_METRICS, 1.0)


def test_no_process_waits_for_one_whose_probe_has_failed(dataset):
    module = Colours()
    module.features = lambda images: torch.full((len(images), 3), torch.nan)
    probe, sent = Probe(dataset, ["a", "b"] * 20, 2), []
    with pytest.raises(UserError, match="probe failed"):
        probe.on_train_epoch_end(at(0, strategy=SimpleNamespace(broadcast=lambda x: sent.append(x) or x)), module)
    other = SimpleNamespace(broadcast=lambda mine: sent[0])
    with pytest.raises(UserError, match="probe failed"):
        probe.on_train_epoch_end(at(0, strategy=other, is_global_zero=False), module)


def test_features_do_not_depend_on_the_batches_and_leave_the_network_alone():
    torch.manual_seed(0)
    network = build_network("test_resnet", num_classes=0).eval()
    images = torch.randint(0, 256, (21, 3, 32, 32), dtype=torch.uint8)
    whole = embed(lambda x: network(x.float()), [{"image": images}])
    parts = embed(lambda x: network(x.float()), [{"image": part} for part in images.split([1, 12, 8])])
    assert np.array_equal(whole, parts)
    assert whole.shape == (21, 96)
    network.train()(images[:2].float()).sum().backward()  # inference tensors would refuse


def test_features_that_are_no_numbers_stop_with_a_remedy(dataset):
    module = Colours()
    module.features = lambda images: torch.full((len(images), 3), torch.nan)
    with pytest.raises(UserError, match=r"probe failed.*optimizer\.lr"):
        Probe(dataset, ["a", "b"] * 20, 2).measure(module)


def test_a_collapse_stops_the_run():
    stop, healthy, lost = StopAtCollapse(), SimpleNamespace(diagnosis=lambda: None), SimpleNamespace()
    lost.diagnosis = lambda: "all alike; try this"
    stop.on_train_epoch_end(at(0), healthy)
    with pytest.raises(UserError, match=r"^epoch 0: all alike; try this$"):
        stop.on_train_epoch_end(at(0), lost)
    with pytest.raises(UserError, match=r"^epoch 3: .*epochs before it are kept$"):
        stop.on_train_epoch_end(at(3), lost)


def test_the_monitor():
    assert choose_monitor("probe/linear_pr_auc_macro", probed=True) == ("probe/linear_pr_auc_macro", "max")
    assert choose_monitor("train/loss", probed=True) == ("train/loss", "min")
    with pytest.raises(UserError, match="needs a probe, which needs labels"):
        choose_monitor("probe/knn_balanced_accuracy", probed=False)
    with pytest.raises(UserError, match="did you mean train/loss"):
        choose_monitor("train/los", probed=False)
