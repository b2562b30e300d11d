"""The battery runs from one command: evidence, page and pictures; mistakes are refused before anything is predicted."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from skinlab.assessment.openings import read_openings
from skinlab.commands.shift import find_artefacts
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.evaluation.predictions import predictions_table
from skinlab.inference.bundle import load_bundle
from skinlab.inference.predict_images import predict_images
from tests.command_settings import settings_of
from tests.run_directory import CONFIG, write_run

CLASSES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
QUICK = ["n_images=60", "probes=acquisition", "probe.acquisition.corruptions=[pixelate]", "device=cpu"]
QUICK += ["probe.acquisition.severities=[1,5]"]


@pytest.fixture(scope="module")
def trained(phantom: Path, save_classifier, tmp_path_factory) -> Path:
    """What a training leaves, less the training: half of the images validation, half test."""
    import torch

    run = tmp_path_factory.mktemp("run")
    save_classifier(run / "checkpoints" / "best.ckpt", CLASSES)
    rows = read_ham10000(phantom).assign(fold=0)
    rows["split"] = ["test" if i % 2 else "val" for i in range(len(rows))]
    bundle, tables = load_bundle(run), {}
    for split, part in rows.groupby("split"):
        settings = settings_of("predict", ckpt=[str(run)], input=str(phantom), output="p.csv", num_workers=0)
        found = predict_images(bundle, part["path"].tolist(), settings, torch.device("cpu"))
        tables[str(split)] = predictions_table(part, found.probabilities, CLASSES)
    return write_run(run, split=rows, **tables)


@pytest.fixture(scope="module")
def outside(phantom: Path, tmp_path_factory) -> list[str]:
    """Overrides of images of other origin: melanomas and nevi of the phantom, drawn with another seed."""
    from skinlab.data.readers.phantom import read_phantom

    root = tmp_path_factory.mktemp("outside")
    rows = read_phantom(root / "phantom", n_images=120, image_size=48, seed=7, num_workers=1)
    rows = rows[rows["label"].isin(["mel", "nv"])]
    labels = rows["label"].map({"mel": "melanoma", "nv": "common_nevus"})
    rows[["image_id", "path"]].assign(label=labels, group=rows["group"]).to_csv(root / "rows.csv", index=False)
    return ["data=table", f"data.root={root}", f"data.table={root / 'rows.csv'}"]


def test_a_battery_writes_evidence_page_and_pictures(trained: Path, run: Callable, tmp_path: Path):
    done = run("shift", f"ckpt={trained}", "output=out", *QUICK, "positive=[mel,bcc,akiec]", "threshold=p>=0.4")
    assert done.returncode == 0, done.stderr
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert evidence["kind"] == "shift"
    assert evidence["threshold"] == {
        "rule": "p>=0.4",
        "value": 0.4,
        "chosen_on": "fixed beforehand",
        "positive": ["mel", "bcc", "akiec"],
    }
    assert evidence["home"]["images"] <= 60
    assert evidence["outside"] is None
    (probe,) = evidence["probes"]
    assert [each["dose"] for each in probe["conditions"]] == ["severity 1", "severity 5"]
    assert all((tmp_path / "out" / each["file"]).is_file() for each in probe["pictures"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Does it stand another camera" in page
    assert page.count("data:image/jpeg") == len(probe["pictures"])
    assert "out/report.html" in done.stdout
    assert not read_openings(trained)


def test_the_same_seed_gives_the_same_numbers(trained: Path, run: Callable, tmp_path: Path):
    found = []
    for name in ("a", "b"):
        done = run("shift", f"ckpt={trained}", f"output={name}", *QUICK, "probe.acquisition.corruptions=[shot_noise]")
        assert done.returncode == 0, done.stderr
        found.append(json.loads((tmp_path / name / "evidence.json").read_text())["probes"][0]["conditions"])
    assert found[0] == found[1]


def test_the_test_part_is_an_opening(trained: Path, run: Callable):
    done = run("shift", f"ckpt={trained}", "output=out", *QUICK, "split=test")
    assert done.returncode == 0, done.stderr
    assert [each["command"] for each in read_openings(trained)] == ["shift"]
    (trained / "test_access.jsonl").unlink()


def test_outside_images_have_their_classes_mapped(trained: Path, outside: list[str], run: Callable, tmp_path: Path):
    table = pd.DataFrame({"label": ["melanoma", "common_nevus"], "class": ["mel", "nv"]})
    table.to_csv(tmp_path / "map.csv", index=False)
    done = run("shift", f"ckpt={trained}", *outside, "class_map=map.csv", "output=out", *QUICK)
    assert done.returncode == 0, done.stderr
    place = json.loads((tmp_path / "out" / "evidence.json").read_text())["outside"]
    assert set(place["support"]) == {"mel", "nv"}
    assert "Outside, " in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probes=aquisition"], "probes: aquisition is none of"),
        (["probe.acquisition.severities=[7]"], "7 is none of 1 to 5"),
        (["probe.acquisition.corruptions=[pixelated]"], "pixelated is none of"),
        (["positive=[melanoma]"], "positive=melanoma: melanoma is no class of"),
        (["class_map=nowhere.csv"], "maps the classes of an outside data set"),
        (["data=ph2", "data.root=/nowhere"], "/nowhere"),
        (["ckpt=/nowhere"], "/nowhere"),
        (["level=2"], "level=2"),
    ],
)
def test_mistakes_are_refused(trained: Path, run: Callable, tmp_path: Path, words: list[str], message: str):
    done = run("shift", f"ckpt={trained}", "output=out", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "evidence.json").exists()


def test_labels_without_a_class_are_named_with_the_rows_to_add(trained: Path, outside: list[str], run: Callable):
    done = run("shift", f"ckpt={trained}", *outside, "output=out", *QUICK)
    assert done.returncode == 2
    assert "common_nevus" in done.stderr
    assert "class_map=FILE" in done.stderr


def test_a_phantom_has_its_own_table_of_artefacts(phantom: Path, tmp_path: Path):
    ids = pd.read_csv(phantom / "phantom_artefacts.csv")["image_id"].tolist()
    home = SimpleNamespace(rows=pd.DataFrame({"image_id": ids}))
    run = write_run(tmp_path / "run", config={**CONFIG, "data": {**CONFIG["data"], "root": str(phantom)}})
    found = find_artefacts(SimpleNamespace(artefacts=None), run, [home])
    assert list(found.columns) == ["ruler", "hair", "gel_bubble", "ink"]


def test_the_table_of_artefacts_is_that_of_the_command_else_of_the_run(tmp_path: Path):
    config = {**CONFIG, "data": {**CONFIG["data"], "artefacts": str(tmp_path / "run.csv")}}
    trained = write_run(tmp_path / "run", config=config)
    (tmp_path / "run.csv").write_text("image_id,ruler\na,1\n")
    (tmp_path / "other.csv").write_text("image_id,hair\na,1\n")
    home = SimpleNamespace(rows=pd.DataFrame({"image_id": ["a", "b"]}))
    for given, run, columns in ((None, trained, ["ruler"]), (str(tmp_path / "other.csv"), trained, ["hair"])):
        found = find_artefacts(SimpleNamespace(artefacts=given), run, [home])
        assert list(found.columns) == columns
    assert find_artefacts(SimpleNamespace(artefacts=None), write_run(tmp_path / "without"), [home]) is None
    (tmp_path / "run.csv").write_text("image_id,ruler\nx,1\n")
    with pytest.raises(UserError, match="is of other images"):
        find_artefacts(SimpleNamespace(artefacts=None), trained, [home])
