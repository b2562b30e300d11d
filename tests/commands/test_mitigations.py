"""Trainings with the settings against shifts and shortcuts."""

import pytest
import torch

from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle
from tests.run_directory import metrics_of

ONE = ["trainer.max_epochs=1", "model=timm", "model.name=test_resnet"]


def test_colour_constancy_travels_with_the_weights(tiny, compose_train, tmp_path):
    run = tmp_path / "run"
    train(compose_train(*tiny, *ONE, "data.colour_constancy=shades_of_gray", "augment=fourier", run_dir=run))
    classifier = load_bundle(run).classifier
    skin = torch.full((1, 3, 32, 32), 150, dtype=torch.uint8)
    lit = skin * torch.tensor([1.4, 1.0, 0.6]).view(3, 1, 1)
    torch.testing.assert_close(classifier(lit.to(torch.uint8)), classifier(skin), atol=0.02, rtol=0)
    with pytest.raises(UserError, match=r"trained with data\.colour_constancy=shades_of_gray.*set it here, too"):
        train(compose_train(*tiny, *ONE, f"model.init={run}/checkpoints/best.ckpt", run_dir=tmp_path / "next"))


def test_a_head_is_kept_for_the_same_classes_even_without_images_of_some(tiny, compose_train, tmp_path):
    run, adapted = tmp_path / "run", tmp_path / "adapted"
    classes = "data.classes=[none,benign,malignant]"
    train(compose_train(*tiny, *ONE, classes, run_dir=run))
    again = [*ONE, f"model.init={run}", "model.allow_seen=true", "finetune=head", "optimizer.lr=1e-9"]
    train(compose_train(*tiny, *again, classes, "data.label_budget=20", run_dir=adapted))
    first, second = (load_bundle(each).classifier.network.state_dict() for each in (run, adapted))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-6, rtol=0)
    with pytest.raises(UserError, match=r"is of the classes none,benign,malignant, the data has benign,malignant"):
        train(compose_train(*tiny, *again, run_dir=tmp_path / "other"))
    with pytest.raises(UserError, match=r"keep_head=true: random has no head; set model\.init to a run"):
        train(compose_train(*tiny, *ONE, "finetune=head", run_dir=tmp_path / "none"))


def test_group_dro_weighs_groups_of_a_column_and_the_worst_chooses_the_epoch(tiny, compose_train, tmp_path):
    loss = ["loss=group_dro", "loss.domain=sex", "loss.step_size=0.1"]
    by = "callbacks.monitor=val/worst_group_accuracy"
    train(compose_train(*tiny, *ONE, *loss, by, run_dir=tmp_path))
    metrics = metrics_of(tmp_path)
    assert metrics["monitor"] == "val/worst_group_accuracy"
    assert 0 <= metrics["best/monitor"] <= metrics["val/accuracy"]
    weight = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["loss.weight"]
    assert len(weight) >= 4
    assert weight.sum() == pytest.approx(1)
    assert weight.max() > weight[weight > 0].min()
    with pytest.raises(UserError, match=r"loss\.domain=sex: a mixed or unlabelled image is of no group"):
        compose_train(*tiny, *loss, "augment.mixup=0.2")
    with pytest.raises(UserError, match="monitor=val/worst_group_accuracy: no such metric"):
        train(compose_train(*tiny, *ONE, by, run_dir=tmp_path / "none"))
