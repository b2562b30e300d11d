"""One command ranks a pool: the list, the page for the expert, and what the pool is made of."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skinlab.commands import mine as mining
from skinlab.commands.mine import mine
from skinlab.data.expert_labels import add_labels
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle, save_bundle
from skinlab.mining import prevalence as pool_prevalence
from tests.command_settings import invocation_of, settings_of
from tests.run_directory import write_run

CLASSES = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
POSITIVE = ["akiec", "bcc", "mel"]
QUICK = {"num_workers": 0, "n_draws": 20, "n": 12, "positive": POSITIVE, "picture": 48}


@pytest.fixture(scope="module")
def run_dir(phantom: Path, save_classifier, tmp_path_factory) -> Path:
    """What a training on part of the labels leaves, less the training."""
    run = tmp_path_factory.mktemp("run")
    save_classifier(run / "checkpoints" / "best.ckpt", CLASSES)
    rows = read_ham10000(phantom).assign(fold=0)
    place = pd.factorize(rows["group"])[0] % 8
    rows["split"] = pd.Series(place).map({0: "test", 1: "val", 2: "val", 3: "train", 4: "train"}).fillna("pool")
    pool = rows["split"] == "pool"
    rows = rows.assign(hidden_label=rows["label"].where(pool, ""), label=rows["label"].mask(pool, ""))
    # One lesion of the pool is a test image's, and one is labelled already.
    strays = pool[pool].index[:2]
    rows.loc[strays, "group"] = [rows["group"][rows["split"] == part].iloc[0] for part in ("test", "train")]
    write_run(run, config=None, metrics=None, split=rows)
    pairs = [(strays[0], rows.index[rows["split"] == "test"][0]), (strays[1], pool[pool].index[2])]
    copies = [{"a": rows["image_id"][a], "b": rows["image_id"][b]} for a, b in pairs]
    (run / "audit.json").write_text(json.dumps({"duplicates": copies}))
    return run


def run_mine(run: Path | str, folder: Path | str, **more: Any) -> None:
    mine(settings_of("mine", **QUICK | {"ckpt": run, "output": folder} | more), invocation_of("mine"))


def read(output: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    table = pd.read_csv(output / "mine.csv", dtype={"image_id": str, "group": str}, keep_default_na=False)
    return table, json.loads((output / "mine.json").read_text())


@pytest.fixture(scope="module")
def split(run_dir: Path) -> pd.DataFrame:
    return pd.read_csv(run_dir / "split.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def mined(run_dir: Path, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("mined") / "out"
    run_mine(run_dir, output)
    return output


def test_the_list_is_of_the_pool_one_a_lesion(mined: Path, split: pd.DataFrame):
    table, facts = read(mined)
    assert table["rank"].tolist() == list(range(1, 13))
    rows = split.set_index("image_id").loc[table["image_id"]]
    assert set(rows["split"]) == {"pool"}
    assert not table["group"].duplicated().any()
    labelled = split[split["split"] != "pool"]
    assert not set(table["group"]) & set(labelled["group"]), "neither of held-out nor of labelled lesions"
    assert table["by"].tolist() == ["probability", "uncertainty", "probability", "diversity"] * 3
    assert (table["label"] == "").all()
    np.testing.assert_allclose(table["probability"], table[[f"prob_{name}" for name in POSITIVE]].sum(1), atol=3e-6)
    assert (table["flagged"] == (table["novelty"] > 1)).all()
    assert (facts["chosen"], facts["by"], facts["positive"]) == (12, "mixed", POSITIVE)


def test_hygiene_is_counted(mined: Path, split: pd.DataFrame):
    pool = read(mined)[1]["pool"]
    rows = split[split["split"] == "pool"]
    assert pool["images"] == len(rows)
    assert (pool["copies"], pool["copies_of_held_out"]) == (1, 1)
    assert (pool["held_out"], pool["labelled"]) == (1, 1)
    left = rows[~rows["group"].isin(split["group"][split["split"] != "pool"])]
    assert (pool["groups"], pool["repeats"]) == (left["group"].nunique(), left["group"].duplicated().sum())
    assert pool["novelty"]["training_images"] == (split["split"] == "train").sum()
    assert 0 <= pool["novelty"]["false_alarms"]["value"] <= 1


def test_share_of_positives_and_yield_are_told(mined: Path, split: pd.DataFrame):
    table, facts = read(mined)
    share, found = facts["prevalence"], facts["yield"]
    assert share["em"]["low"] <= share["em"]["value"] <= share["em"]["high"]
    assert share["reference_images"] == (split["split"] == "val").sum()
    truth = split.set_index("image_id")["hidden_label"].loc[table["image_id"]].isin(POSITIVE)
    assert found["curves"]["mixed"]["found"] == truth.cumsum().tolist()
    assert set(found["at"]) == {"probability", "uncertainty", "diversity", "mixed"}
    assert found["at"]["mixed"][-1]["found"] == truth.sum()
    last = found["curves"]["mixed"]["random"][-1]
    assert last == pytest.approx(12 * found["positives"] / found["groups"], abs=1e-3)


def test_the_page_and_the_answers(mined: Path, split: pd.DataFrame, tmp_path: Path):
    page = (mined / "contact_sheet.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 12
    table, _ = read(mined)
    assert all(f'data-id="{name}"' in page for name in table["image_id"])
    answered = table.assign(label=["mel", "nv"] + [""] * 10)
    answered.to_csv(tmp_path / "mine.csv", index=False)
    manifest = add_labels(split.assign(fold=-1), tmp_path / "mine.csv", CLASSES).set_index("image_id")
    assert manifest["label"][table["image_id"][:2]].tolist() == ["mel", "nv"]
    assert manifest["split"][table["image_id"]].tolist() == ["train"] * 2 + ["pool"] * 10


@pytest.fixture
def no_share(monkeypatch):
    """Leave out the estimate that takes the longest, where it doesn't matter."""
    monkeypatch.setattr(mining, "find_prevalence", lambda *_, **__: {"why": "nobody asked"})


@pytest.mark.usefixtures("no_share")
def test_orders_are_by_their_scores(run_dir: Path, tmp_path: Path):
    for by in ("probability", "uncertainty"):
        run_mine(run_dir, tmp_path / by, by=by, n=99)
        table, facts = read(tmp_path / by)
        assert table[by].is_monotonic_decreasing
        assert len(table) == facts["pool"]["groups"], "n is more than there are"
    run_mine(run_dir, tmp_path / "badge", by="diversity", diversity="badge", shortlist=15)
    assert len(read(tmp_path / "badge")[0]) == 12


@pytest.mark.usefixtures("no_share")
def test_the_batch_size_changes_nothing(run_dir: Path, mined: Path, tmp_path: Path):
    run_mine(run_dir, tmp_path / "o", batch_size=5)
    assert (tmp_path / "o" / "mine.csv").read_text() == (mined / "mine.csv").read_text()


@pytest.mark.usefixtures("no_share")
def test_a_folder_with_copies_is_a_pool_too(run_dir: Path, split: pd.DataFrame, tmp_path: Path):
    folder = tmp_path / "given"
    folder.mkdir()
    of = {part: split[split["split"] == part]["path"].iloc[0] for part in ("test", "train")}
    pool = split[split["split"] == "pool"].drop_duplicates("group")
    first, second = pool["path"].iloc[5:7]
    for name, source in {"a": first, "b": first, "c": second, "d": of["test"], "e": of["train"]}.items():
        (folder / f"{name}.jpg").write_bytes(Path(source).read_bytes())
    (folder / "z.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of \d+ images can't be read: .*z\.jpg"):
        run_mine(run_dir, tmp_path / "o", input=str(folder))
    run_mine(run_dir, tmp_path / "o", input=str(folder), on_bad_image="drop")
    table, facts = read(tmp_path / "o")
    assert facts["pool"]["unreadable"] == 1
    assert (facts["pool"]["held_out"], facts["pool"]["labelled"]) == (1, 1)
    assert set(table["image_id"]) in ({"a.jpg", "c.jpg"}, {"b.jpg", "c.jpg"})
    assert facts["yield"] is None
    for name in "abcz":
        (folder / f"{name}.jpg").unlink()
    with pytest.raises(UserError, match=r"none of 2 images is left.*1 are of validation or test groups, 1 of labelled"):
        run_mine(run_dir, tmp_path / "p", input=str(folder))


def test_a_bundle_ranks_a_folder_without_reference(run_dir: Path, phantom: Path, tmp_path: Path):
    save_bundle(load_bundle(run_dir), tmp_path / "m.bundle")
    folder = str(next(phantom.rglob("*.jpg")).parent)
    run_mine(tmp_path / "m.bundle", tmp_path / "o", input=folder, find_copies=False)
    table, facts = read(tmp_path / "o")
    assert len(table) == 12
    why = "there are no validation images to learn the model's errors from; give a run"
    assert facts["prevalence"] == {"em": None, "why": why}
    assert facts["pool"]["novelty"] is None
    assert (table["novelty"] == "").all()
    with pytest.raises(UserError, match="input= is missing"):
        run_mine(tmp_path / "m.bundle", tmp_path / "p")


@pytest.mark.usefixtures("no_share")
def test_flagged_images_are_listed_to_be_excluded(run_dir: Path, tmp_path: Path):
    run_mine(run_dir, tmp_path / "o", alarms=0.5, by="probability")
    flagged = pd.read_csv(tmp_path / "o" / "flagged.csv", dtype=str)
    assert len(flagged) == read(tmp_path / "o")[1]["pool"]["novelty"]["flagged"] > 0
    assert "unlike the training images" in (tmp_path / "o" / "contact_sheet.html").read_text()


def test_a_share_that_cannot_be_estimated_is_told_as_such_everywhere(run_dir, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pool_prevalence, "MIN_GROUPS", 99)
    with caplog.at_level("INFO"):
        run_mine(run_dir, tmp_path / "o")
    assert re.search(r"can't be estimated: \d+ of \d+ validation images are positive", caplog.text)
    assert "share of positives in the pool, if labels" not in caplog.text
    facts = read(tmp_path / "o")[1]
    assert facts["prevalence"]["em"] is None
    assert "Not estimated: " in (tmp_path / "o" / "contact_sheet.html").read_text()


MISTAKES = [
    ({"ckpt": None}, "ckpt= is missing"),
    ({"ckpt": "/nowhere"}, "ckpt=/nowhere: no such file"),
    ({"output": None}, "output= is missing"),
    ({"n": 0}, "n=0: a number of at least 1"),
    ({"by": "probabilty"}, r"by=probabilty: .* is expected .did you mean probability"),
    ({"uncertainty": "variance"}, "uncertainty=variance: entropy, margin or least_confidence is expected"),
    ({"alarms": 2}, "alarms=2: a number below 1"),
    ({"positive": None}, "positive= is missing: name some of akiec, bcc"),
    ({"positive": ["mell"]}, r"positive=mell is no class of the model \(did you mean mel\?\)"),
    ({"positive": CLASSES}, "name some of the classes, not all"),
    ({"input": "/nowhere"}, "input=/nowhere: no such file or folder"),
    ({"device": "gpu"}, "device=gpu: auto, cpu or cuda is expected"),
    ({"truth": "/nowhere.csv"}, "/nowhere.csv is not there"),
]


@pytest.mark.parametrize(("more", "told"), MISTAKES)
def test_mistakes_are_told_before_anything_is_predicted(run_dir: Path, tmp_path: Path, monkeypatch, more, told):
    monkeypatch.setattr(mining, "embed_pool", lambda *_: pytest.fail("predicted"))
    with pytest.raises(UserError, match=told):
        run_mine(run_dir, tmp_path / "o", **more)
    assert not (tmp_path / "o").exists()


def test_a_missing_table_of_labels_is_refused_before_the_pool_is_searched_for_copies(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "open_pool", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match=r"/nowhere\.csv is not there"):
        run_mine(run_dir, tmp_path / "o", truth="/nowhere.csv")


def test_a_run_s_own_mistakes_are_told(run_dir: Path, split: pd.DataFrame, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(mining, "embed_pool", lambda *_: pytest.fail("predicted"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes((run_dir / "checkpoints" / "best.ckpt").read_bytes())
    pool = split["split"] == "pool"
    for rows, told in (
        (split[~pool], "has no pool: no row of its split.csv"),
        (
            split.assign(path=split["path"].mask(pool, "/gone.jpg")),
            r"\d+ of \d+ images of .* (is|are) missing: /gone.jpg",
        ),
        (split.assign(label=split["label"].replace("mel", "melanoma")), "whose class melanoma is none of akiec"),
        (
            split.assign(hidden_label=split["hidden_label"].replace("mel", "cat")),
            "hidden_label: label 'cat' of image .* is none of",
        ),
        (split.assign(group="one"), r"none of \d+ images is left to be labelled"),
    ):
        rows.to_csv(tmp_path / "split.csv", index=False)
        with pytest.raises(UserError, match=told):
            run_mine(tmp_path, tmp_path / "o")


def test_what_is_there_stays(run_dir: Path, mined: Path):
    with pytest.raises(UserError, match=r"mine\.csv exists; choose another output= or set overwrite=true"):
        run_mine(run_dir, mined)


def test_the_command_reports_a_mistake_in_one_line(run):
    done = run("mine", "n=0", "ckpt=/nowhere", "output=o", "positive=mel,bcc")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: n=0: a number of at least 1 is expected"
    assert run("mine", "--help").stdout.startswith("python -m skinlab.mine: ")
