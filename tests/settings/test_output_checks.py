"""What a command would write, and a table without images, are refused before torch is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from skinlab.cli.config import compose_settings
from skinlab.cli.early_checks import check_early
from skinlab.errors import UserError


def folder_with(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("{}")
    return path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    for name in ("new.csv", "model.bundle", "model.onnx"):
        (tmp_path / name).touch()
    return {
        "here": tmp_path,
        "evaluated": folder_with(tmp_path / "evaluated", "evidence.json", "report.html", "model_card.md"),
        "pictures": folder_with(tmp_path / "pictures", "a.jpg"),
        "ranked": folder_with(tmp_path / "ranked", "mine.csv"),
        "model": folder_with(tmp_path / "model"),
    }


@pytest.mark.parametrize(
    ("command", "overrides", "words"),
    [
        ("predict", "ckpt={model} input={here} output={here}/new.csv", r"new\.csv exists; choose another output="),
        ("predict", "ckpt={model} input={here} output={here}/p.csv explain={pictures}", "is not empty; choose another"),
        ("predict", "ckpt={model} input={here} output={here}/nowhere/p.csv", "there is no folder"),
        ("bundle", "ckpt={model} output={here}/model.bundle", r"model\.bundle exists"),
        ("bundle", "ckpt={model} output={here}/new.onnx", "or set format=onnx"),
        ("mine", "ckpt={model} output={ranked}", r"mine\.csv exists"),
        ("evaluate", "predictions={here}/new.csv output={evaluated}", r"evidence\.json exists"),
        ("ensemble", "runs=[{here}/new.csv,{model}] output={evaluated}", r"evidence\.json exists"),
        ("tta", "ckpt={model} output={evaluated}", r"evidence\.json exists"),
        ("study", "output={here}/new.csv", r"new\.csv is a file; name a folder"),
        ("audit", "contact_sheet={here}/sheet.pdf", "a PNG or JPEG file is expected"),
    ],
)
def test_an_output_that_can_not_be_written_is_refused_early(places, command, overrides, words):
    filled = [word.format(**places) for word in overrides.split()]
    with pytest.raises(UserError, match=words):
        check_early(command, compose_settings(command, filled))


def test_an_output_may_be_replaced_where_it_is_asked_for_or_of_a_training(places):
    evaluation = [f"predictions={places['here']}/new.csv", f"output={places['evaluated']}"]
    check_early("evaluate", compose_settings("evaluate", [*evaluation, "overwrite=true"]))
    (places["evaluated"] / "config.yaml").touch()
    check_early("evaluate", compose_settings("evaluate", evaluation))
    prediction = [f"ckpt={places['model']}", f"input={places['here']}", f"output={places['here']}/new.csv"]
    check_early("predict", compose_settings("predict", [*prediction, "overwrite=true"]))


def test_a_table_without_images_is_refused_from_its_header(tmp_path):
    table = tmp_path / "labels.csv"
    words = ["data=table", f"data.root={tmp_path}", "data.table=labels.csv"]
    table.write_text("photo;dx\n1;mel\n")
    with pytest.raises(UserError, match=r"labels\.csv has no column path or image_id: its columns are photo, dx; name"):
        check_early("train", compose_settings("train", words, tmp_path / "run"))
    check_early("train", compose_settings("train", [*words, "data.columns.path=photo"], tmp_path / "run"))
    table.write_text("Image_Name,dx\n1,mel\n")
    check_early("train", compose_settings("train", words, tmp_path / "run"))


@pytest.mark.parametrize(
    ("command", "override", "words"),
    [
        ("predict", "explain=true", "explain=true: a folder for the pictures is expected, as in explain=PICTURES"),
        ("predict", "output=true", r"output=true: a path is expected, as in output=FILE\.csv"),
        ("evaluate", "labels=true", r"labels=true: a table of labels is expected, as in labels=FILE\.csv"),
        ("train", "data.cache_dir=true", r"data\.cache_dir=true: a folder is expected, as in data\.cache_dir=DIR"),
        ("train", "data.cache_dir=[a,b]", r"data\.cache_dir=\[a,b\]: a folder is expected"),
        ("train", "data.root=false", r"data\.root=false: a folder is expected, as in data\.root=DIR"),
        (
            "train",
            "model.init=true",
            r"model\.init=true: auto, imagenet, random, a run or a file of weights is expected",
        ),
        ("train", "resume=true", "resume=true: auto, never or a checkpoint is expected"),
        ("doctor", "cache_dir=true", "cache_dir=true: a folder is expected, as in cache_dir=DIR"),
        ("train", "data.exclude=true", r"data\.exclude=true: a table of images is expected, as in data\.exclude="),
    ],
)
def test_true_is_no_path(command, override, words, tmp_path):
    needed = {"predict": ["ckpt=a", "input=b", "output=c.csv"], "evaluate": ["predictions=a", "output=b"]}
    with pytest.raises(UserError, match=words):
        compose_settings(command, [*needed.get(command, []), override], tmp_path)


@pytest.mark.parametrize(("typed", "meant"), [("model", "ckpt"), ("image", "input"), ("images", "input")])
def test_other_names_of_what_predict_takes_are_answered(typed, meant):
    with pytest.raises(UserError, match=rf"{typed}: the config has no such key \(did you mean {meant}\?\)"):
        compose_settings("predict", [f"{typed}=x"])
