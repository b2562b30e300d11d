"""Training and pretraining on a CUDA device."""

import numpy as np
import pandas as pd
import pytest
import torch

from skinlab.commands.predict import predict
from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train
from tests.conftest import composer
from tests.run_directory import metrics_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def overrides(tiny: list[str]) -> list[str]:
    return ["trainer=gpu" if word == "trainer=cpu" else word for word in tiny if "precision" not in word]


def test_a_training_leaves_the_predictions_that_its_checkpoint_makes_on_the_processor(
    compose_train, overrides, phantom, tmp_path
):
    train(compose_train(*overrides, run_dir=tmp_path / "run"))
    assert np.isfinite(metrics_of(tmp_path / "run")["val/loss"])
    on_gpu = pd.read_csv(tmp_path / "run" / "predictions" / "val.csv").set_index("image_id")
    words = [f"ckpt={tmp_path / 'run'}", f"input={phantom}", f"output={tmp_path / 'cpu.csv'}", "device=cpu"]
    predict(composer("predict")(*words, run_dir=tmp_path))
    on_cpu = pd.read_csv(tmp_path / "cpu.csv")
    on_cpu.index = on_cpu["image_id"].map(lambda name: name.rsplit("/", 1)[-1].removesuffix(".jpg"))
    columns = [name for name in on_gpu if name.startswith("prob_")]
    difference = on_gpu[columns] - on_cpu.loc[on_gpu.index, columns]
    assert difference.abs().to_numpy().max() < 0.02


def test_shards_of_one_process_give_the_predictions_of_no_shards(run, overrides, tmp_path):
    tables = []
    for trainer in ("trainer=gpu", "trainer=fsdp"):
        words = [trainer if word == "trainer=gpu" else word for word in overrides]
        words += ["trainer.devices=1", "trainer.precision=32-true", "model.ema_decay=0.9"]
        done = run("train", *words, f"hydra.run.dir={tmp_path / trainer[8:]}")
        assert done.returncode == 0, done.stderr
        tables.append(pd.read_csv(tmp_path / trainer[8:] / "predictions" / "val.csv").filter(like="prob_"))
    assert (tables[0] - tables[1]).abs().to_numpy().max() < 0.02


def test_cuda_graphs_learn_what_eager_steps_learn(compose_train, overrides, tmp_path, monkeypatch):
    replay, replays = torch.cuda.CUDAGraph.replay, []
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: replays.append(replay(graph)))
    words = [*overrides, "model=timm", "model.name=test_resnet", "trainer.precision=32-true", "trainer.max_epochs=3"]
    found = {}
    for chosen in ("false", "true", "cuda_graphs"):
        train(compose_train(*words, f"model.compile={chosen}", run_dir=tmp_path / chosen))
        found[chosen] = pd.read_csv(tmp_path / chosen / "csv" / "metrics.csv")["train/loss"].dropna().to_numpy()
        torch.compiler.reset()
        assert bool(replays) == (chosen == "cuda_graphs")
    assert len(found["false"]) == 3
    for chosen in ("true", "cuda_graphs"):
        np.testing.assert_allclose(found[chosen], found["false"], rtol=0.02)


def test_a_pretraining_ends_with_features_that_are_numbers(compose_pretrain, overrides, tmp_path):
    words = [word for word in overrides if word != "evidence=off"]
    pretrain(compose_pretrain(*words, "ssl=simclr", "probe.every_n_epochs=0", run_dir=tmp_path / "run"))
    assert np.isfinite(metrics_of(tmp_path / "run")["train/loss"])


def test_batches_are_in_pinned_memory(compose_train, overrides, tmp_path):
    from skinlab.runs.parts import build_datamodule

    datamodule = build_datamodule(compose_train(*overrides, run_dir=tmp_path))
    datamodule.setup("fit")
    assert next(iter(datamodule.train_dataloader()))["image"].is_pinned()
