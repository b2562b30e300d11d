"""Weights trained on what a run is evaluated on: what is refused, warned of and counted."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import pandas as pd
import pytest

from skinlab.assessment.cautions import system_cautions
from skinlab.assessment.systems import find_systems
from skinlab.commands.bundle import bundle as make_bundle
from skinlab.commands.predict import predict
from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train
from skinlab.errors import UserError
from skinlab.runs.provenance import check_training_images, merged, weight_provenance
from tests.command_settings import settings_of
from tests.run_directory import metrics_of, refused

PAST = {"method": "simclr", "images": ["aa", "bb"], "groups": ["ga", "gb"]}


def prepared(groups: str = "g", **split_of: str) -> SimpleNamespace:
    """Images whose hash is their name's first letter twice and whose group is g and that letter: a and a2 are of ga."""
    ids = list(split_of)
    manifest = pd.DataFrame({"image_id": ids, "split": list(split_of.values())})
    manifest["group"] = [groups + name[0] for name in ids]
    manifest["fold"] = [0 if split in ("train", "val") else -1 for split in manifest["split"]]
    return SimpleNamespace(manifest=manifest, image_hashes={n: n * 2 if len(n) == 1 else n for n in ids})


def test_images_that_were_seen_are_counted_and_refused(caplog):
    clean = prepared(a="train", b="pool", c="val", d="test")
    assert check_training_images("x", PAST, clean, allow_seen=False) == {"init_saw_val": 0, "init_saw_test": 0}
    assert not caplog.text
    leaky = prepared(a="val", b="test", c="val", d="test", e="train")
    with pytest.raises(
        UserError, match=r"model.init=x: .*\(simclr\) used 1 val image \(a\) and 1 test image \(b\)"
    ) as message:
        check_training_images("x", PAST, leaky, allow_seen=False)
    assert len(str(message.value).splitlines()) == 1
    assert check_training_images("x", PAST, leaky, allow_seen=True) == {"init_saw_val": 1, "init_saw_test": 1}
    assert "used 1 val image" in caplog.text
    assert "pool=pool" not in str(message.value), "there is no image outside the folds"
    with pytest.raises(UserError, match=r"for all folds pretrain on images outside every fold: .*pretrain … pool=pool"):
        check_training_images("x", PAST, prepared(a="val", c="train", e="pool"), allow_seen=False)


def test_another_photograph_of_a_lesion_that_was_seen_counts():
    leaky = prepared(a="train", b="test", b2="test", b3="test", c="test", a2="val")
    with pytest.raises(UserError, match=r"1 val image \(a2\), 1 of them by other images of their group and 3 test"):
        check_training_images("x", PAST, leaky, allow_seen=False)
    assert check_training_images("x", PAST, leaky, allow_seen=True) == {"init_saw_val": 1, "init_saw_test": 3}


def test_groups_of_other_data_are_not_taken_for_ours(caplog):
    strange = prepared(a2="test", b2="val", c="train")
    assert check_training_images("x", PAST, strange, allow_seen=False) == {"init_saw_val": 0, "init_saw_test": 0}
    assert "have the same names" in caplog.text, "it may be the same data in another size, though"
    caplog.clear()
    check_training_images("x", PAST | {"data": "phantom"}, strange, allow_seen=False, data="ham10000")
    assert "have the same names" not in caplog.text, "the phantom's lesions are named as HAM10000's"
    check_training_images("x", PAST | {"data": "folder"}, strange, allow_seen=False, data="ham10000")
    assert "have the same names" in caplog.text
    caplog.clear()
    other_names = prepared("lesion_", a="train", b="train", b2="test")
    provenance = PAST | {"groups": ["lesion_b"]}  # one image in common has its name by chance, the other none
    assert check_training_images("x", provenance, other_names, allow_seen=False) == {
        "init_saw_val": 0,
        "init_saw_test": 0,
    }


def test_what_chose_the_weights_may_choose_again_but_not_test():
    provenance = PAST | {"val_images": ["cc"], "val_groups": ["gc"]}
    again = prepared(a="train", c="val", c2="val")
    assert check_training_images("x", provenance, again, allow_seen=False) == {"init_saw_val": 0, "init_saw_test": 0}
    tested = prepared(a="train", c="test", c2="test")
    assert check_training_images("x", provenance, tested, allow_seen=True) == {"init_saw_val": 0, "init_saw_test": 2}


def test_what_is_not_known_is_said(tmp_path, caplog):
    assert weight_provenance("auto", None) == weight_provenance("random", None) == {}
    (tmp_path / "best.ckpt").touch()
    provenance = weight_provenance(str(tmp_path / "best.ckpt"), None)
    assert check_training_images("best.ckpt", provenance, prepared(a="test"), allow_seen=False) == {}
    assert "the training images of these weights are not known" in caplog.text
    assert len(caplog.records) == 1


def test_pasts_add_up():
    both = merged(PAST, {"images": ["cc"], "unknown": ["x"]})
    assert both["images"] == ["aa", "bb", "cc"]
    assert (both["groups"], both["val_images"], both["unknown"]) == (["ga", "gb"], [], ["x"])


SMALL = ["model=timm", "model.name=test_resnet", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def first(compose_train, tiny, tmp_path_factory) -> Path:
    """A training on the first fold."""
    run_dir = tmp_path_factory.mktemp("first") / "run"
    train(compose_train(*tiny, *SMALL, run_dir=run_dir))
    return run_dir


def starting(tiny: list[str], run: Path, *more: str) -> list[str]:
    return [*tiny, *SMALL, f"model.init={run}", *more]


def test_a_split_keeps_the_hashes_of_its_images(first):
    split = pd.read_csv(first / "split.csv", dtype=str)
    assert split["image_hash"].str.fullmatch("[0-9a-f]{32}").all()
    provenance = weight_provenance(str(first / "checkpoints" / "best.ckpt"), None)
    assert provenance["images"] == sorted(split["image_hash"][split["split"] == "train"])
    assert provenance["val_groups"] == sorted(set(split["group"][split["split"] == "val"]))


def test_a_checkpoint_of_the_same_split_is_welcome(first, compose_train, tiny, tmp_path, caplog):
    train(compose_train(*starting(tiny, first, "seed=1"), run_dir=tmp_path / "run"))
    metrics = metrics_of(tmp_path / "run")
    assert (metrics["init_saw_val"], metrics["init_saw_test"]) == (0, 0)
    assert metrics["init_used"] == str(first / "checkpoints" / "best.ckpt")
    assert "model.init" not in caplog.text


@pytest.mark.parametrize("hashed", [True, False])
def test_a_checkpoint_of_another_fold_is_refused_or_counted(
    first, compose_train, tiny, tmp_path, caplog, monkeypatch, hashed
):
    run = tmp_path / "first"
    shutil.copytree(first, run)
    if not hashed:
        pd.read_csv(run / "split.csv", dtype=str).drop(columns="image_hash").to_csv(run / "split.csv", index=False)
    overrides = starting(tiny, run, "data.fold=1")
    with refused(r"its training \(supervised\) used \d+ val images .*model\.allow_seen=true", tmp_path / "second"):
        train(compose_train(*overrides, run_dir=tmp_path / "second"))
    train(compose_train(*overrides, "model.allow_seen=true", run_dir=tmp_path / "second"))
    metrics = metrics_of(tmp_path / "second")
    val = pd.read_csv(tmp_path / "second" / "predictions" / "val.csv")
    assert (metrics["init_saw_val"], metrics["init_saw_test"]) == (len(val), 0)
    # What a run began with is not forgotten by the next.
    with refused(r"used \d+ val images", tmp_path / "third"):
        train(compose_train(*starting(tiny, tmp_path / "second"), run_dir=tmp_path / "third"))


@pytest.fixture
def renamed(first, tmp_path) -> Path:
    """Training, validation and test images of a run under other names, every third one saved in another format."""
    folder = tmp_path / "images"
    folder.mkdir()
    split = pd.read_csv(first / "split.csv", dtype=str)
    for part, n in (("train", 9), ("val", 4), ("test", 5)):
        for i, path in enumerate(split["path"][split["split"] == part].head(n)):
            if i % 3:
                shutil.copy(path, folder / f"{part}{i}{Path(path).suffix}")
            else:
                cv2.imwrite(str(folder / f"{part}{i}.bmp"), cv2.imread(path))
    return folder


@pytest.mark.parametrize("place", ["run", "bundle", "ensemble", "older run", "checkpoint"])
def test_a_prediction_counts_the_images_that_its_model_has_seen(first, renamed, tmp_path, caplog, monkeypatch, place):
    ckpt, unknown = first, []
    if place in ("bundle", "ensemble"):
        ckpt = tmp_path / "model.bundle"
        last = shutil.copy(first / "checkpoints" / "last.ckpt", tmp_path / "last.ckpt")
        unknown = [str(last)] if place == "ensemble" else []
        models = [str(first), str(last)][: 2 if unknown else 1]
        make_bundle(settings_of("bundle", ckpt=models, output=ckpt, gate="none"))
        monkeypatch.setattr(
            "skinlab.runs.provenance.weight_provenance", lambda *_: pytest.fail("a bundle says it itself")
        )
    elif place == "older run":
        ckpt = shutil.copytree(first, tmp_path / "older")
        pd.read_csv(first / "split.csv", dtype=str).drop(columns="file_tail").to_csv(ckpt / "split.csv", index=False)
    elif place == "checkpoint":
        ckpt = Path(shutil.copy(first / "checkpoints" / "best.ckpt", tmp_path / "best.ckpt"))
        unknown = [str(ckpt)]
    predict(settings_of("predict", ckpt=ckpt, input=renamed, output=tmp_path / "p.csv", num_workers=0, device="cpu"))
    seen = json.loads((tmp_path / "p.meta.json").read_text())["training_overlap"]
    known = place != "checkpoint"
    assert seen == {"images": 18, "train": 9 * known, "val": 4 * known, "group": 0, "unknown": unknown}
    table = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
    if not known:
        assert "is not known" in caplog.text
        assert "seen" not in table
        return
    sentence = "9 of 18 images were trained on by this model and 4 chose its best epoch"
    assert sentence in caplog.text
    assert (table["seen"] == table["image_id"].str.extract("(train|val)")[0].fillna("")).all()
    if place == "run":
        table.assign(label=["benign", "malignant"] * 9).to_csv(tmp_path / "p.csv", index=False)
        (system,) = find_systems([str(tmp_path / "p.csv")], split="auto")
        assert sentence in system_cautions(system)[0]


def test_another_test_part_is_refused(first, compose_train, tiny, tmp_path):
    with refused(r"val images .* and \d+ test images", tmp_path / "run"):
        train(compose_train(*starting(tiny, first, "data.split_seed=1"), run_dir=tmp_path / "run"))


def test_a_checkpoint_away_from_its_run_is_reported(first, compose_train, tiny, tmp_path, caplog):
    shutil.copy(first / "checkpoints" / "best.ckpt", tmp_path / "best.ckpt")
    overrides = [*tiny, *SMALL, f"model.init={tmp_path / 'best.ckpt'}", "data.fold=1"]
    train(compose_train(*overrides, run_dir=tmp_path / "run"))
    lines = [each for each in caplog.messages if "are not known" in each]
    assert len(lines) == 1
    assert "init_saw_test" not in metrics_of(tmp_path / "run")


def test_a_pretraining_passes_on_what_its_start_has_seen(first, compose_train, compose_pretrain, tiny, tmp_path):
    overrides = [
        word for word in starting(tiny, first, "data.label_budget=0.5", "pool=train") if word != "evidence=off"
    ]
    overrides = [word for word in overrides if word != "model=resnet18"]
    pretrain(compose_pretrain(*overrides, "ssl=denoise", "ssl.width=16", "data.batch_size=8", run_dir=tmp_path / "ssl"))
    record = json.loads((tmp_path / "ssl" / "backbone.json").read_text())
    provenance = weight_provenance(str(first / "checkpoints" / "best.ckpt"), None)
    assert record["images"] == provenance["images"]
    assert record["val_groups"] == provenance["val_groups"]
    with refused(r"its training \(denoise\) used \d+ val images", tmp_path / "run"):
        train(compose_train(*tiny, *SMALL, f"model.init={tmp_path / 'ssl'}", "data.fold=1", run_dir=tmp_path / "run"))
