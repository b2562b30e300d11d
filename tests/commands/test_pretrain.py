"""A whole pretraining by its command, what it leaves, what starts from it, and what is refused."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file

from skinlab.commands import pretrain as pretraining
from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.runs.backbone_record import read_record
from tests.choices import choices
from tests.run_directory import assert_same_weights, kill_after, metrics_of, refused

SMALL = ["ssl.hidden_dim=32", "ssl.output_dim=16", "probe.every_n_epochs=1"]


@pytest.fixture(scope="session")
def overrides(tiny) -> list[str]:
    """Overrides of a pretraining of seconds: 32 px, a network of 96 features."""
    kept = [word for word in tiny if word not in ("model=resnet18", "evidence=off")]
    return [*kept, "model=timm", "model.name=test_resnet"]


@pytest.fixture(scope="module")
def finished(compose_pretrain, overrides, tmp_path_factory) -> Path:
    """A run of two epochs on the first fold."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    pretrain(compose_pretrain(*overrides, *SMALL, run_dir=run_dir))
    return run_dir


def test_run_directory(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    wanted = {"config.yaml", "metrics.json", "audit.json", "split.csv", "csv/metrics.csv"}
    wanted |= {"checkpoints/best.ckpt", "checkpoints/last.ckpt", "backbone.safetensors", "backbone.json"}
    assert names == wanted


def test_the_backbone_is_timm_s_own_and_of_the_best_epoch(finished):
    state = load_file(finished / "backbone.safetensors")
    timm.create_model("test_resnet", num_classes=0).load_state_dict(state, strict=True)
    best = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == metrics_of(finished)["best/epoch"]
    assert all(torch.equal(value, best["state_dict"][f"backbone.{name}"]) for name, value in state.items())


def test_the_record_names_what_was_seen(finished):
    record = read_record(finished / "backbone.safetensors")
    assert record == json.loads((finished / "backbone.json").read_text())
    split = pd.read_csv(finished / "split.csv", keep_default_na=False)
    train_rows = split[split["split"] == "train"]
    assert len(record["images"]) == len(train_rows) == metrics_of(finished)["images"]
    assert record["groups"] == sorted(set(train_rows["group"]))
    assert {key: record[key] for key in ("method", "network", "epochs", "init_used", "pool")} == {
        **{"method": "simclr", "network": "test_resnet", "epochs": 2, "init_used": "random", "pool": "all"}
    }
    assert record["run_id"] == metrics_of(finished)["run_id"]
    assert record["inputs"]["image_size"] == 32


def test_figures(finished):
    metrics, curves = metrics_of(finished), pd.read_csv(finished / "csv" / "metrics.csv")
    start, *probed = curves["probe/knn_balanced_accuracy"].dropna().tolist()
    assert len(probed) == 2
    assert metrics["start/probe/knn_balanced_accuracy"] == pytest.approx(start)
    assert metrics["best/monitor"] == metrics["best/probe/knn_balanced_accuracy"] == pytest.approx(max(probed))
    assert metrics["last/probe/knn_balanced_accuracy"] == pytest.approx(probed[-1])
    assert metrics["monitor"] == "probe/knn_balanced_accuracy"
    assert metrics["images_seen"] == 2 * (metrics["images"] // 16 * 16)
    assert metrics["images_per_second"] > 0
    assert {"last/train/loss", "last/train/feature_std", "last/probe/linear_pr_auc_macro"} <= set(metrics)


def test_two_workers_give_the_weights_of_none(finished, compose_pretrain, overrides, tmp_path):
    pretrain(compose_pretrain(*overrides, *SMALL, "data.num_workers=2", run_dir=tmp_path / "two"))
    assert_same_weights(finished, tmp_path / "two")


def test_a_finished_run_is_not_repeated_and_refuses_other_settings(finished, compose_pretrain, overrides, caplog):
    before = (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        pretrain(compose_pretrain(*overrides, *SMALL, run_dir=finished))
    assert "is finished" in caplog.text
    assert (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    for other, message in ({"ssl.temperature=0.5": "ssl.temperature", "pool=train": "pool"}).items():
        with pytest.raises(UserError, match=f"holds a run with {message}="):
            pretrain(compose_pretrain(*overrides, *SMALL, other, run_dir=finished))
    resumed = f"resume={finished / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(UserError, match="was made by the method"):
        pretrain(compose_pretrain(*overrides, "ssl=simsiam", resumed, run_dir=finished.parent / "other"))


def test_killed_and_resumed_equals_uninterrupted(compose_pretrain, overrides, tmp_path):
    given = [*overrides, "ssl=byol", *SMALL, "trainer.max_epochs=4", "probe.every_n_epochs=2"]
    pretrain(compose_pretrain(*given, run_dir=tmp_path / "whole"))
    killed = tmp_path / "killed"
    kill_after(1, "pretrain", given, killed)
    assert not (killed / "metrics.json").exists()
    pretrain(compose_pretrain(*given, run_dir=killed))
    assert_same_weights(tmp_path / "whole", killed)
    first, second = metrics_of(tmp_path / "whole"), metrics_of(killed)
    same = [name for name in first if name.startswith(("start/", "best/", "last/", "images_seen"))]
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
    rows = pd.read_csv(killed / "csv" / "metrics.csv").dropna(subset="probe/knn_balanced_accuracy")
    assert rows["step"].iloc[0] == 0  # the start, which belongs to no epoch
    assert rows["epoch"].is_unique  # the kill may have come between a checkpoint and its row, never twice the same row
    assert rows["epoch"].iloc[-1] == 3


def test_without_labels_the_last_epoch_is_kept(compose_pretrain, overrides, phantom, tmp_path):
    without = [word for word in overrides if not word.startswith(("data=", "data.label_map", "data.root"))]
    folder = phantom / "HAM10000_images_part_1"
    given = [*without, "data=images", f"data.root={folder}", "ssl=denoise", "ssl.width=16", "trainer.max_epochs=1"]
    pretrain(compose_pretrain(*given, run_dir=tmp_path / "run"))
    metrics = metrics_of(tmp_path / "run")
    assert (metrics["monitor"], metrics["best/mode"]) == ("epoch", "max")
    assert metrics["best/monitor"] == metrics["best/epoch"] == metrics["max_epochs"] - 1
    assert not any("probe" in name for name in metrics if name != "monitor")
    assert metrics["images"] == len(list(folder.iterdir()))


@pytest.mark.parametrize("pool", ["pool", "train"])
def test_small_views_and_budgets(compose_pretrain, overrides, tmp_path, pool):
    dino = ["ssl=dino", "ssl.local_views=2", "ssl.bottleneck_dim=8", *SMALL, "views.small_size=16"]
    given = [*overrides, *dino, "data.label_budget=0.5", f"pool={pool}", "trainer.max_epochs=1"]
    pretrain(compose_pretrain(*given, run_dir=tmp_path / "run"))
    split = pd.read_csv(tmp_path / "run" / "split.csv", keep_default_na=False)
    assert metrics_of(tmp_path / "run")["images"] == (split["split"] == pool).sum()


@pytest.mark.parametrize("method", choices("ssl"))
def test_every_method_runs_by_its_config(compose_pretrain, overrides, tmp_path, method):
    given = [*overrides, f"ssl={method}", "optimizer=lars", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    config = compose_pretrain(*given, "logger=[]", run_dir=tmp_path / "run")
    pretrain(config)
    assert read_record(tmp_path / "run" / "backbone.safetensors")["method"] == method


def test_patience_ends_a_run_that_gets_no_better(compose_pretrain, overrides, tmp_path):
    given = [*overrides, *SMALL, "callbacks.patience=1", "trainer.max_epochs=9", "probe.every_n_epochs=3"]
    config = compose_pretrain(*given, "optimizer.lr=1e-12", run_dir=tmp_path / "run")
    pretrain(config)
    metrics = metrics_of(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    pretrain(config)
    assert metrics_of(tmp_path / "run")["images_seen"] == metrics["images_seen"]
    assert metrics["best/epoch"] == 2
    assert metrics["best/monitor"] == metrics["best/probe/knn_balanced_accuracy"]
    assert metrics["images_seen"] == 6 * metrics["images"]  # two probes


def fine_tuning(tiny: list[str], *more: str) -> list[str]:
    return [*tiny, "model=timm", "model.name=test_resnet", "trainer.max_epochs=1", *more]


@pytest.mark.parametrize("name", ["", "backbone.safetensors"])
def test_fine_tuning_starts_from_it(finished, compose_train, tiny, tmp_path, name):
    init = finished / name
    train(compose_train(*fine_tuning(tiny, f"model.init={init}"), run_dir=tmp_path / "run"))
    metrics = metrics_of(tmp_path / "run")
    assert metrics["init_used"] == f"{finished / 'backbone.safetensors'} (simclr)"
    assert (metrics["init_saw_val"], metrics["init_saw_test"]) == (0, 0)


def test_a_fold_whose_images_were_seen_is_refused_or_counted(finished, compose_train, tiny, tmp_path, caplog):
    given = fine_tuning(tiny, f"model.init={finished}", "data.fold=1")
    with refused(r"\(simclr\) used \d+ val images .*model\.allow_seen=true", tmp_path / "refused"):
        train(compose_train(*given, run_dir=tmp_path / "refused"))
    train(compose_train(*given, "model.allow_seen=true", run_dir=tmp_path / "run"))
    metrics = metrics_of(tmp_path / "run")
    val = pd.read_csv(tmp_path / "run" / "predictions" / "val.csv")
    assert (metrics["init_saw_val"], metrics["init_saw_test"]) == (len(val), 0)
    assert f"used {len(val)} val images" in caplog.text


def test_what_a_pretraining_started_from_has_been_seen_too(finished, compose_pretrain, overrides, tmp_path):
    given = [*overrides, *SMALL, f"model.init={finished}", "data.label_budget=0.3", "pool=train", "data.batch_size=8"]
    pretrain(compose_pretrain(*given, "trainer.max_epochs=1", run_dir=tmp_path / "run"))
    assert metrics_of(tmp_path / "run")["images"] < metrics_of(finished)["images"]
    before, after = (read_record(path / "backbone.safetensors") for path in (finished, tmp_path / "run"))
    assert after["images"] == before["images"]
    with pytest.raises(UserError, match=r"used .* val images"):
        pretrain(compose_pretrain(*given, "data.fold=1", run_dir=tmp_path / "other"))


def test_another_architecture_is_named(finished, compose_train, tiny, tmp_path):
    with pytest.raises(UserError, match=r"it is of test_resnet, not of resnet18: choose the model="):
        train(compose_train(*tiny, f"model.init={finished}", run_dir=tmp_path / "run"))


MISTAKES = [
    (["data.batch_size=2"], "can't learn from 2 images"),
    (["data.batch_size=100"], "less than a batch of 100"),
    (["pool=pool"], "pool=pool: no such image is left"),
    (["pool=al"], "did you mean all"),
    (["ssl.temperature=0"], "ssl.temperature=0"),
    (["views.n_small=2"], "takes 0 small views"),
    (["model.ema_decay=0.9"], "model.ema_decay=0.9: it is for skinlab.train"),
    (["callbacks.monitor=val/loss"], "callbacks.monitor=val/loss"),
    (["callbacks.monitor=probe/knn_balanced_accuracy", "probe.every_n_epochs=0"], "needs a probe"),
    (["probe.max_images=1"], "probe.max_images=1"),
    (["optimizer.lr=0.0"], "optimizer.lr"),
    (["model.name=test_resnett"], "did you mean test_resnet"),
    (["model.init=/nowhere.ckpt"], "/nowhere.ckpt"),
    (["resume=/nowhere.ckpt"], "/nowhere.ckpt"),
    (["data.label_map={mel: x, bcc: x, akiec: x, nv: x, bkl: x, vasc: x, df: x}"], "of 1 class and"),
]


@pytest.mark.parametrize(("wrong", "message"), MISTAKES)
def test_mistakes_end_before_an_epoch(compose_pretrain, overrides, tmp_path, wrong, message):
    with refused(re.escape(message), tmp_path / "run"):
        pretrain(compose_pretrain(*overrides, *SMALL, *wrong, run_dir=tmp_path / "run"))


def test_missing_weights_are_refused_before_the_data_is_read(compose_pretrain, overrides, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "build_datamodule", lambda *_: pytest.fail("data read"))
    with pytest.raises(UserError, match=r"model.init=/nowhere.ckpt: no such file"):
        pretrain(compose_pretrain(*overrides, *SMALL, "model.init=/nowhere.ckpt", run_dir=tmp_path / "run"))


def test_copies_of_test_images_are_left_out_of_the_pool(compose_pretrain, overrides, phantom, tmp_path, caplog):
    images = sorted(phantom.rglob("*.jpg"))
    rows = [(path, "ab"[i % 2], ["train", "val", "test"][i % 3]) for i, path in enumerate(images[:60])]
    rows += [(path, "", "pool") for path, _, split in rows if split == "test"]
    rows += [(path, "", "pool") for path in images[60:100]]
    table = pd.DataFrame(rows, columns=["path", "label", "split"])
    table.assign(image_id=range(len(table)), group=range(len(table))).to_csv(tmp_path / "table.csv", index=False)
    kept = [word for word in overrides if not word.startswith(("data=", "data.label_map", "data.root"))]
    given = [*kept, *SMALL, "data=table", f"data.root={phantom}", f"data.table={tmp_path / 'table.csv'}", "pool=pool"]
    pretrain(compose_pretrain(*given, run_dir=tmp_path / "run"))
    assert "20 pool images share a group with test images and are left out" in caplog.text
    assert metrics_of(tmp_path / "run")["images"] == 40


@pytest.mark.ddp
def test_two_processes_pretrain_and_write_one_run(run, overrides, tmp_path):
    given = [word for word in overrides if word != "trainer=cpu"]
    given += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", *SMALL, "trainer.max_epochs=1"]
    done = run("pretrain", *given, f"hydra.run.dir={tmp_path / 'ddp'}")
    assert done.returncode == 0, done.stderr
    metrics = metrics_of(tmp_path / "ddp")
    assert metrics["images_seen"] == metrics["images"] // 32 * 32
    assert done.stdout.count("backbone: ") == 1


def test_a_mistake_is_one_line_and_exit_code_2(run, overrides, tmp_path):
    done = run("pretrain", *overrides, "data.batch_size=2", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: data.batch_size: ssl=simclr")
    assert not (tmp_path / "run").exists()


def test_a_collapse_stops_and_keeps_the_checkpoint(compose_pretrain, overrides, tmp_path, monkeypatch):
    healthy = iter([True, False])
    monkeypatch.setattr("skinlab.selfsup.pretrainer.diagnose", lambda *given: None if next(healthy) else "all alike")
    with pytest.raises(UserError, match="epoch 1: all alike; the checkpoints of the epochs before it are kept"):
        pretrain(compose_pretrain(*overrides, *SMALL, run_dir=tmp_path / "run"))
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_network_that_answers_all_alike_is_found_out(compose_pretrain, overrides, tmp_path, monkeypatch):
    alike = "skinlab.selfsup.feature_metrics.feature_std"
    monkeypatch.setattr(alike, lambda features: features.sum() * 0 + 1e-5)
    with pytest.raises(UserError, match=r"epoch 0: the features have collapsed.*optimizer\.lr.*ssl=vicreg"):
        pretrain(compose_pretrain(*overrides, *SMALL, run_dir=tmp_path / "run"))
