"""Predictions of folders, tables and single images, and everything that is refused before anything is written."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from skinlab.commands import predict as predicting
from skinlab.commands.predict import predict
from skinlab.data.images import read_image
from skinlab.errors import UserError
from skinlab.evaluation.overlap import FittedOn, RowIds, row_keys
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.inference.bundle import load_bundle, save_bundle
from skinlab.inference.ensembling import ensemble
from skinlab.inference.gate import Gate, fit_gate, image_statistics
from skinlab.tables.predictions import TableReader
from tests.command_settings import settings_of
from tests.image_folder import NAMES, table_of, write_images

SEVEN = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]

Predict = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def seven(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("seven") / "best.ckpt", SEVEN)


@pytest.fixture(scope="module")
def two(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("two") / "best.ckpt", ["benign", "malignant"])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "p.csv"


@pytest.fixture
def predicted(folder: Path, seven: Path, output: Path) -> Predict:
    """Predict with the config's defaults and these settings; return the table."""

    def run(**settings: Any) -> pd.DataFrame:
        places = {"ckpt": seven, "input": folder, "output": output, "num_workers": 0}
        predict(settings_of("predict", **places | settings))
        return pd.read_csv(settings.get("output", output), dtype={"image_id": str})

    return run


def test_a_folder_gives_sorted_rows_with_the_network_s_own_probabilities(predicted: Predict, folder: Path, seven: Path):
    table = predicted()
    assert table.columns.tolist() == ["image_id", *(f"prob_{name}" for name in SEVEN), "path"]
    assert table["path"].tolist() == [str(folder / name) for name in NAMES]
    assert table["image_id"].tolist() == NAMES
    images = torch.stack([torch.as_tensor(read_image(folder / name, 32)).permute(2, 0, 1) for name in NAMES])
    with torch.inference_mode():
        expected = load_bundle(seven).classifier(images).softmax(1)
    np.testing.assert_allclose(table.filter(like="prob_"), expected, atol=2e-6)


def test_batches_and_workers_change_nothing(predicted: Predict, output: Path):
    predicted(tta="flips")
    written = output.read_bytes()
    for batch_size, num_workers in ((1, 2), (4, 0), (4, 1)):
        predicted(tta="flips", batch_size=batch_size, num_workers=num_workers, overwrite=True)
        assert output.read_bytes() == written


def test_the_facts_of_the_model_are_written_beside_the_table(predicted: Predict, output: Path, seven: Path):
    predicted(tta="d4")
    meta = json.loads((output.parent / "p.meta.json").read_text())
    assert meta["classes"] == SEVEN
    assert (meta["tta"], meta["image_size"], meta["images"]) == ("d4", 32, len(NAMES))
    assert meta["checkpoint_sha256"] == load_bundle(seven).sha256
    assert meta["training_prior"] == pytest.approx([1 / 7] * 7)


def test_a_table_keeps_its_order_labels_and_ids(predicted: Predict, folder: Path, tmp_path: Path):
    whole = predicted().set_index("image_id")
    images = Path(shutil.copytree(folder, tmp_path / "t"))
    paths = ["a/1.jpg", str(folder / "10.png"), "./é.png"]
    table = table_of(images / "t.csv", site=["x"] * 3, label=["mel", "", "nv"], image_id=["r", "q", "p"], path=paths)
    got = predicted(input=table, overwrite=True)
    assert got.columns[:2].tolist() == ["image_id", "label"]
    assert got["image_id"].tolist() == ["r", "q", "p"]
    np.testing.assert_array_equal(
        got.filter(like="prob_"), whole.loc[["a/1.jpg", "10.png", "é.png"]].filter(like="prob_")
    )
    assert predicted(input=table_of(table, path=paths), overwrite=True)["image_id"].tolist() == [
        "a/1.jpg",
        str(folder / "10.png"),
        "é.png",
    ]


def test_a_single_image_gets_the_row_it_has_in_its_folder(predicted: Predict, folder: Path):
    whole = predicted()
    alone = predicted(input=folder / "10.png", overwrite=True)
    assert alone["image_id"].tolist() == ["10.png"]
    np.testing.assert_allclose(alone.filter(like="prob_"), whole.filter(like="prob_")[:1], atol=2e-6)


def test_a_kaggle_file_has_the_hard_labels_of_the_table(predicted: Predict, two: Path, output: Path):
    positive = predicted(ckpt=two)["prob_malignant"].to_numpy()
    threshold = float(np.median(positive))
    file = predicted(ckpt=two, format="kaggle", threshold=threshold, overwrite=True)
    assert file.columns.tolist() == ["ID", "label"]
    assert file["ID"].tolist() == [f"test/{Path(name).name}" for name in NAMES]
    assert file["label"].tolist() == (positive >= threshold).astype(int).tolist()
    assert set(output.read_text().splitlines()[1].rpartition(",")[2]) <= {"0", "1"}


def test_a_kaggle_file_has_1_for_the_positive_class_of_an_older_checkpoint(
    predicted: Predict, save_classifier: Callable[..., Path], tmp_path: Path, output: Path
):
    older = save_classifier(tmp_path / "older.ckpt", ["melanoma", "nevus"])
    positive = predicted(ckpt=older)["prob_melanoma"].to_numpy()
    file = predicted(ckpt=older, format="kaggle", threshold=float(np.median(positive)), overwrite=True)
    assert file["label"].tolist() == (positive >= np.median(positive)).astype(int).tolist()
    assert json.loads(output.with_suffix(".meta.json").read_text())["positive"] == ["melanoma"]


def test_an_isic_file_has_the_table_s_probabilities_under_its_own_names(predicted: Predict):
    table = predicted()
    file = predicted(format="isic", overwrite=True)
    assert file.columns.tolist() == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    assert file["image"].astype(str).tolist() == [Path(name).stem for name in NAMES]
    for name in SEVEN:
        np.testing.assert_array_equal(file[name.upper()], table[f"prob_{name}"])


def test_bad_images_are_all_named_or_left_out(
    predicted: Predict, folder: Path, tmp_path: Path, output: Path, caplog: pytest.LogCaptureFixture
):
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:60])
    (images / "z.jpg").touch()
    mask = np.zeros((64, 64), np.uint8)
    mask[9:40, 20:50] = 255
    cv2.imwrite(str(images / "y.png"), mask)
    for num_workers in (0, 2):
        with pytest.raises(
            UserError, match=r"3 of 8 images can't be read: .*2\.png .*y\.png is a mask.*z\.jpg is empty; .*=drop"
        ) as refused:
            predicted(input=images, batch_size=1, num_workers=num_workers)
        assert "\n" not in str(refused.value)
        assert not list(output.parent.iterdir())
    kept = predicted(input=images, on_bad_image="drop", batch_size=1)
    assert "left out" in caplog.text
    whole = predicted(overwrite=True)
    assert kept["image_id"].tolist() == [name for name in NAMES if name != "2.png"]
    expected = whole[whole["image_id"] != "2.png"]
    np.testing.assert_allclose(kept.filter(like="prob_"), expected.filter(like="prob_"), atol=2e-6)
    for name in NAMES:
        (images / name).write_bytes(b"")
    with pytest.raises(UserError, match="no image is left"):
        predicted(input=images, on_bad_image="drop", overwrite=True)


def test_missing_files_of_a_table_are_refused_or_left_out(predicted: Predict, folder: Path, tmp_path: Path):
    table = table_of(tmp_path / "t.csv", path=[str(folder / "2.png"), "gone.jpg"])
    with pytest.raises(UserError, match=r"1 of 2 images of .* is missing: .*gone\.jpg"):
        predicted(input=table)
    assert predicted(input=table, on_bad_image="drop")["image_id"].tolist() == [str(folder / "2.png")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ckpt": None}, "ckpt= is missing"),
        ({"input": None}, "set input=FOLDER_OR_CSV_OR_IMAGE"),
        ({"input": "/no/where"}, "no such file or folder"),
        ({"input": __file__}, "neither a folder, nor a CSV, nor an image"),
        ({"output": "/no/where/p.csv"}, "there is no folder /no/where"),
        ({"output": "p.txt"}, r"the name of a \.csv file is expected"),
        ({"format": "kagle"}, "did you mean kaggle"),
        ({"format": "kaggle"}, "format=kaggle needs two classes, the model has akiec"),
        ({"threshold": 0.4}, "a number needs a model of two classes, this has akiec"),
        ({"threshold": 0.4, "format": "isic"}, "format=isic holds probabilities alone"),
        (
            {"threshold": "f1"},
            r"best\.ckpt has no such rule; make a bundle of its run with one.*thresholds=\[f1\]",
        ),
        ({"threshold": True}, "a probability from 0 to 1, or a rule"),
        ({"threshold": 1.5, "format": "kaggle"}, "a probability from 0 to 1"),
        ({"tta": "d8"}, "tta=d8: choose none, flips, d4, multicrop"),
        ({"confidence": {"nv": 1.5}}, "confidence={nv: 1.5}: a probability from 0 to 1 is expected, or one a class"),
        ({"confidence": True}, "confidence=true: a probability from 0 to 1 is expected"),
        ({"device": "gpu"}, "device=gpu: auto, cpu or cuda is expected"),
        ({"batch_size": 0}, "batch_size=0: a number of at least 1"),
        ({"num_workers": -1}, "num_workers=-1: give auto or a number"),
        ({"gate": "wran"}, "gate=wran: warn, error or off is expected .did you mean warn"),
        ({"gate": "error"}, r"has no input gate; .*bundle ckpt=.*best\.ckpt output=FILE.bundle gate=fit"),
        ({"on_bad_image": "skip"}, "on_bad_image=skip: error or drop is expected"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(predicted: Predict, output: Path, settings: dict, words: str):
    with pytest.raises(UserError, match=words) as refused:
        predicted(**settings)
    assert "\n" not in str(refused.value)
    assert not list(output.parent.iterdir())


@pytest.fixture(scope="module")
def gate(folder: Path) -> Gate:
    """A gate to which the folder's images are as foreign as can be, but for one."""
    known = image_statistics(read_image(folder / "2.png", 64))
    seen = known + np.random.default_rng(0).normal(0, 1e-3, (50, len(known)))
    return fit_gate(seen, seen, alarms=0.001)


@pytest.fixture
def gated(seven: Path, gate: Gate, tmp_path: Path) -> Path:
    save_bundle(replace(load_bundle(seven), gate=gate), tmp_path / "gated.bundle")
    return tmp_path / "gated.bundle"


def test_a_bundle_predicts_as_its_checkpoint_does(predicted: Predict, seven: Path, tmp_path: Path, output: Path):
    (tmp_path / "packed").mkdir()
    save_bundle(load_bundle(seven), tmp_path / "packed" / "model.bundle")
    predicted()
    plain = output.read_bytes()
    predicted(ckpt=tmp_path / "packed", overwrite=True)
    assert output.read_bytes() == plain


def test_a_gate_warns_and_adds_its_column(
    predicted: Predict, gated: Path, output: Path, caplog: pytest.LogCaptureFixture
):
    plain = predicted()
    table = predicted(ckpt=gated, overwrite=True, batch_size=4, num_workers=1)
    assert table.columns.tolist() == [*plain.columns[:-1], "gate", "path"]
    pd.testing.assert_frame_equal(table.drop(columns="gate"), plain)
    assert (table["gate"] > 1).tolist() == [name != "2.png" for name in NAMES]
    assert "5 of 6 images differ from the dermoscopic images" in caplog.text
    assert "10.png" in caplog.text
    assert json.loads((output.parent / "p.meta.json").read_text())["gate"]["warned"] == 5
    for off in ("off", False):
        pd.testing.assert_frame_equal(predicted(ckpt=gated, gate=off, overwrite=True), plain)
    assert "gate" not in predicted(ckpt=gated, format="isic", overwrite=True)


def test_a_strict_gate_predicts_nothing(predicted: Predict, gated: Path, folder: Path, output: Path):
    with pytest.raises(UserError, match=r"5 of 6 images differ from .*10\.png.*gate=warn"):
        predicted(ckpt=gated, gate="error", batch_size=2)
    assert not list(output.parent.iterdir())
    assert len(predicted(ckpt=gated, gate="error", input=folder / "2.png")) == 1


def test_a_gate_leaves_out_images_that_can_not_be_read(predicted: Predict, gated: Path, folder: Path, tmp_path: Path):
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    (images / "10.png").write_bytes(b"")
    table = predicted(ckpt=gated, input=images, on_bad_image="drop", batch_size=4)
    assert (table["gate"] > 1).tolist() == [name != "2.png" for name in NAMES[1:]]


def test_members_that_want_other_images_are_combined(
    predicted: Predict, seven: Path, save_classifier: Callable[..., Path], folder: Path, tmp_path: Path
):
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    (images / "0.png").write_bytes(b"")
    one = load_bundle(seven)
    other = load_bundle(save_classifier(tmp_path / "o.ckpt", SEVEN, "test_efficientnet", 1))
    other = replace(other, members=(replace(other.members[0], image_size=48, fit="stretch"),))
    tables = []
    for name, bundle in (("a", one), ("b", other)):
        bundle.members[0].classifier.hparams["inputs"] |= {
            "image_size": bundle.image_size,
            "fit": bundle.fit,
        }
        save_bundle(bundle, tmp_path / f"{name}.bundle")
        tables.append(predicted(ckpt=tmp_path / f"{name}.bundle", overwrite=True).filter(like="prob_").to_numpy())
    both = ensemble([one, other], ["a", "b"], method="weighted", weights=[1, 3])
    save_bundle(replace(both, calibrator={"method": "temperature", "temperature": 2.0}), tmp_path / "ab.bundle")
    got = predicted(ckpt=tmp_path / "ab.bundle", input=images, on_bad_image="drop", overwrite=True)
    assert got["image_id"].tolist() == NAMES
    mean = 0.25 * tables[0] + 0.75 * tables[1]
    np.testing.assert_allclose(got.filter(like="prob_"), np.sqrt(mean) / np.sqrt(mean).sum(1, keepdims=True), atol=1e-5)


@pytest.fixture(scope="module")
def ruled(seven: Path, two: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of seven and of two classes with thresholds."""
    folder = tmp_path_factory.mktemp("ruled")
    kinds = {"seven": (seven, ["mel", "bcc"], 0.3), "two": (two, ["malignant"], 0.5), "first": (two, ["benign"], 0.5)}
    for name, (place, positive, threshold) in kinds.items():
        thresholds = [FrozenThreshold("f1", threshold, 0.1, 0.6, 3, "val, 9 images", "", positive)]
        save_bundle(replace(load_bundle(place), thresholds=thresholds), folder / f"{name}.bundle")
    return {name: folder / f"{name}.bundle" for name in kinds}


def test_a_rule_of_the_bundle_predicts_classes(predicted: Predict, ruled: dict[str, Path], output: Path):
    plain = predicted(ckpt=ruled["seven"])
    table = predicted(ckpt=ruled["seven"], threshold="f1", overwrite=True)
    pd.testing.assert_frame_equal(table.drop(columns=["called", "called_class"]), plain)
    assert table.columns[-3:-1].tolist() == ["called", "called_class"]
    assert set(table["called_class"][table["called"] == 1]) <= {"mel", "bcc"}
    assert not set(table["called_class"][table["called"] == 0]) & {"mel", "bcc"}
    assert table["called"].tolist() == (table["prob_mel"] + table["prob_bcc"] >= 0.3).astype(int).tolist()
    meta = json.loads(output.with_suffix(".meta.json").read_text())
    facts = {"rule": "f1", "value": 0.3, "low": 0.1, "high": 0.6, "positive": ["mel", "bcc"]}
    facts |= {"chosen_on": "val, 9 images", "called": table["called"].sum()}
    assert meta["threshold"] == facts | {"cost_ratio": 1.0, "prevalence": None, "rows_sha256": ""}
    labels = table_of(output.parent / "l.csv", image_id=NAMES, label=["mel"] * len(NAMES))
    assert TableReader(labels=str(labels)).read(output).rows.classes == SEVEN
    with pytest.raises(UserError, match=r"threshold=f2: .* has no such rule; choose f1 .did you mean f1"):
        predicted(ckpt=ruled["seven"], threshold="f2", overwrite=True)


def test_the_rule_for_the_called_class_is_that_of_the_bundle_unless_another_is_named(
    predicted: Predict, seven: Path, output: Path
):
    rule = Decision("prior:auto", "balanced_accuracy", SEVEN[::-1], [9.0, 1, 1, 1, 1, 1, 1], 0.5, "val, 9 images")
    place = output.parent / "ruled.bundle"
    save_bundle(replace(load_bundle(seven), decision=rule), place)
    plain, table = predicted(ckpt=seven), predicted(ckpt=place, overwrite=True)
    assert "called" not in plain
    probabilities = table.filter(like="prob_").to_numpy()
    weights = np.array([1.0] * 6 + [9.0])
    assert table["called"].tolist() == [SEVEN[i] for i in (probabilities * weights).argmax(1)]
    facts = json.loads(output.with_suffix(".meta.json").read_text())["decision"]
    assert (facts["rule"], facts["power"], facts["chosen_on"]) == ("prior:auto", 0.5, "val, 9 images")
    argmax = predicted(ckpt=place, decide="argmax", overwrite=True)
    assert argmax["called"].tolist() == [SEVEN[i] for i in probabilities.argmax(1)]
    file = output.parent / "decision.json"
    file.write_text(json.dumps({"run": rule.to_dict()}))
    assert predicted(ckpt=seven, decide=str(file), overwrite=True)["called"].tolist() == table["called"].tolist()
    file.write_text(json.dumps({"run": rule.to_dict() | {"classes": list("abcdefg")}}))
    with pytest.raises(UserError, match="is for the classes a, b, c"):
        predicted(ckpt=seven, decide=str(file), overwrite=True)
    file.write_text(json.dumps({"run": {}}))
    with pytest.raises(UserError, match=r"decide=.* is no decision.json of an evaluation"):
        predicted(ckpt=seven, decide=str(file), overwrite=True)
    with pytest.raises(UserError, match=r"threshold=0.5 calls already; leave one of them out"):
        predicted(ckpt=place, decide="argmax", threshold=0.5, overwrite=True)


def test_an_isic_file_s_most_probable_class_is_the_called_one(
    predicted: Predict, seven: Path, output: Path, caplog: pytest.LogCaptureFixture
):
    rule = Decision("prior:auto", "balanced_accuracy", SEVEN, [9.0, 1, 5, 1, 1, 1, 7], 0.5, "val, 9 images")
    place = output.parent / "ruled.bundle"
    save_bundle(replace(load_bundle(seven), decision=rule), place)
    called = predicted(ckpt=place)["called"]
    names = [name.upper() for name in SEVEN]
    with caplog.at_level(logging.INFO):
        file = predicted(ckpt=place, format="isic", overwrite=True)[names]
    assert file.idxmax(axis=1).str.lower().tolist() == called.tolist()
    np.testing.assert_allclose(file.sum(axis=1), 1, atol=1e-8)
    assert "is the called one, by the rule prior:auto; decide=argmax leaves it out" in caplog.text
    assert json.loads(output.with_suffix(".meta.json").read_text())["decision"]["rule"] == "prior:auto"
    plain = predicted(ckpt=place, format="isic", decide="argmax", overwrite=True)[names]
    assert plain.equals(predicted(ckpt=seven, format="isic", overwrite=True)[names])
    assert plain.idxmax(axis=1).tolist() != file.idxmax(axis=1).tolist()


def test_a_kaggle_file_s_labels_are_by_the_rule_of_the_bundle(predicted: Predict, two: Path, output: Path):
    plain = predicted(ckpt=two)["prob_malignant"].to_numpy()
    weight = 1 / np.median(plain) - 1  # malignant from the median on
    rule = Decision("thresholds", "f1_macro", ["benign", "malignant"], [1.0, float(weight)])
    place = output.parent / "ruled.bundle"
    save_bundle(replace(load_bundle(two), decision=rule), place)
    labels = predicted(ckpt=place, format="kaggle", overwrite=True)["label"]
    called = predicted(ckpt=place, overwrite=True)["called"]
    assert labels.tolist() == (called == "malignant").astype(int).tolist()
    assert 0 < labels.sum() < len(labels)
    by_half = predicted(ckpt=place, format="kaggle", decide="argmax", overwrite=True)["label"]
    assert by_half.tolist() == (plain >= 0.5).astype(int).tolist()


def test_images_that_a_bundle_s_parts_were_fitted_on_are_told(
    predicted: Predict, seven: Path, output: Path, folder: Path, caplog: pytest.LogCaptureFixture
):
    paths = pd.DataFrame({"path": [str(folder / name) for name in NAMES[:2]]})
    fits = {"calibrator": FittedOn.of("the calibrator vector", "val", RowIds.of(paths))}
    rows = {"rows": row_keys(RowIds.of(paths)), "chosen_on": "val, 2 images"}
    threshold = FrozenThreshold("f1", 0.3, 0.1, 0.6, 2, rows_sha256="0", positive=["mel"], **rows)
    place = output.parent / "fitted.bundle"
    save_bundle(replace(load_bundle(seven), fitted_on=fits, thresholds=[threshold]), place)
    predicted(ckpt=place, threshold="f1")
    told = f"2 of these {len(NAMES)} images, or others of their groups, chose the calibrator vector"
    assert f"{told} and the threshold for f1 (val, 2 images; first: image {folder / NAMES[0]}, the same" in caplog.text
    predicted(ckpt=place, overwrite=True)
    facts = json.loads(output.with_suffix(".meta.json").read_text())
    assert facts["fitted_cautions"][0].startswith(f"{told} (val")
    assert [each["what"] for each in facts["fitted_on"]] == ["the calibrator vector"]


def test_a_few_images_are_printed_with_their_class_and_the_rule_that_called_it(
    predicted: Predict, ruled: dict[str, Path], two: Path, capsys: pytest.CaptureFixture[str]
):
    table = predicted(ckpt=two)
    for line, (_, row) in zip(capsys.readouterr().out.splitlines(), table.iterrows(), strict=False):
        order = sorted(("benign", "malignant"), key=lambda name: -row[f"prob_{name}"])
        shown = ", ".join(f"{name} {row[f'prob_{name}']:.3f}" for name in order)
        assert line == f"{row['image_id']}: most probable {order[0]}; {shown}"
    table = predicted(ckpt=two, threshold=0.0, overwrite=True)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{table['image_id'][0]}: called malignant (threshold: malignant from 0 on); ")


def test_many_images_are_not_printed(
    predicted: Predict, two: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("skinlab.report.terminal.FEW_IMAGES", len(NAMES) - 1)
    predicted(ckpt=two)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_number_predicts_the_second_of_two_classes(predicted: Predict, two: Path):
    positive = predicted(ckpt=two)["prob_malignant"].to_numpy()
    threshold = float(np.median(positive))
    table = predicted(ckpt=two, threshold=threshold, overwrite=True)
    assert table["called"].tolist() == (positive >= threshold).astype(int).tolist()
    assert 0 < table["called"].sum() < len(NAMES)
    by_rule = predicted(ckpt=two, threshold=f"p>={threshold:.9f}", overwrite=True)
    assert by_rule["called"].tolist() == (positive >= float(f"{threshold:.9f}")).astype(int).tolist()
    with pytest.raises(UserError, match=r"is written p>=0\.015"):
        predicted(ckpt=two, threshold="p>=1.5", overwrite=True)


def test_a_kaggle_file_takes_a_rule_of_its_own_class_only(predicted: Predict, ruled: dict[str, Path]):
    plain = predicted(ckpt=ruled["two"], format="kaggle")
    assert predicted(ckpt=ruled["two"], format="kaggle", threshold="f1", overwrite=True).equals(plain)
    with pytest.raises(UserError, match="threshold=f1 is for benign; format=kaggle needs one for malignant"):
        predicted(ckpt=ruled["first"], format="kaggle", threshold="f1", overwrite=True)


def test_a_missing_checkpoint_is_refused_before_the_images_are_listed(predicted: Predict, monkeypatch):
    monkeypatch.setattr(predicting, "find_images", lambda *_, **__: pytest.fail("listed"))
    with pytest.raises(UserError, match="ckpt=/no/where: no such file or directory"):
        predicted(ckpt="/no/where")


def test_a_model_of_other_classes_makes_no_isic_file(predicted: Predict, two: Path):
    with pytest.raises(UserError, match=r"format=isic needs mel, .* the model has benign, malignant"):
        predicted(ckpt=two, format="isic")


def test_names_that_a_format_would_confuse_are_refused(predicted: Predict, two: Path, folder: Path, tmp_path: Path):
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    shutil.copy(images / "2.png", images / "a" / "2.png")
    with pytest.raises(UserError, match=r"both test/2\.png"):
        predicted(ckpt=two, input=images, format="kaggle")


def test_existing_files_stay_without_overwrite(predicted: Predict, output: Path):
    for existing in (output, output.with_suffix(".meta.json")):
        existing.write_text("precious")
        with pytest.raises(UserError, match=r"exists; choose another output= or set overwrite=true"):
            predicted()
        assert [(path, path.read_text()) for path in output.parent.iterdir()] == [(existing, "precious")]
        existing.unlink()


def test_the_file_that_a_killed_prediction_left_is_replaced(predicted: Predict, output: Path):
    whole = predicted()
    output.unlink()
    assert predicted().equals(whole)


def test_a_full_disk_leaves_neither_of_the_two_files_or_the_former_ones(
    predicted: Predict, output: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(predicting, "json_text", full)
        with pytest.raises(UserError, match=r"can't write .*No space left on device"):
            predicted()
    assert not list(output.parent.iterdir())
    predicted()
    former = {path: path.read_bytes() for path in output.parent.iterdir()}
    monkeypatch.setattr(predicting, "json_text", full)
    with pytest.raises(UserError, match=r"can't write .*No space left on device"):
        predicted(tta="flips", overwrite=True)
    assert {path: path.read_bytes() for path in output.parent.iterdir()} == former


def test_a_former_table_never_lies_beside_new_facts(predicted: Predict, output: Path, monkeypatch: pytest.MonkeyPatch):
    rename, seen = Path.replace, list[bool]()

    def observed(path: Path, target: Path) -> Path:
        seen.append(output.exists())
        return rename(path, target)

    predicted()
    monkeypatch.setattr(Path, "replace", observed)
    predicted(tta="flips", overwrite=True)
    assert seen == [False, False], "of the facts and of the table"


def test_the_command_needs_a_checkpoint_and_nothing_else(run, seven: Path, folder: Path, tmp_path: Path):
    shutil.copy(seven, tmp_path / "model.ckpt")
    done = run("predict", "ckpt=model.ckpt", f"input={folder}", "output=p.csv", "num_workers=0")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.ckpt", "p.csv", "p.meta.json"]
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + len(NAMES)


def test_the_command_reports_a_mistake_in_one_line(run, folder: Path, tmp_path: Path):
    done = run("predict", "ckpt=model.ckpt", f"input={folder}", "output=p.csv")
    assert (done.returncode, done.stdout) == (2, "")
    remedy = "give a run, a sweep, a checkpoint or a bundle"
    assert done.stderr == f"error: ckpt=model.ckpt: no such file or folder; {remedy}\n"
    assert not list(tmp_path.iterdir())


def test_an_output_that_another_command_writes_is_refused(
    predicted: Predict, output: Path, monkeypatch: pytest.MonkeyPatch
):
    def locked(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("fcntl.flock", locked)
    with pytest.raises(UserError, match=rf"output={output} is in use by process"):
        predicted()
    assert not output.exists()
