"""The submit command: refusals in one line, what to expect, and the log."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skinlab.assessment.submissions import Submission, append, read_log
from skinlab.cli.api import run
from skinlab.errors import UserError

WITHOUT_TORCH = """
import sys
from skinlab.cli.api import run
run("submit", sys.argv[1:])
assert "torch" not in sys.modules
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    """A folder with out-of-fold predictions, a sample submission and two submissions of 200 images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    target = (rng.random(600) < 0.2).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=600) + 2.5 * target - 2)))
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(600)], "group": range(600), "label": target})
    table.assign(prob_0=1 - score, prob_1=score).to_csv("oof.csv", index=False)
    ids = [f"test/{k}.jpg" for k in range(200)]
    pd.DataFrame({"ID": ids, "label": 0}).to_csv("sample.csv", index=False)
    pd.DataFrame({"ID": ids, "label": (np.arange(200) < 35).astype(int)}).to_csv("a.csv", index=False)
    pd.DataFrame({"ID": ids, "label": (np.arange(200) < 37).astype(int)}).to_csv("b.csv", index=False)
    return tmp_path


@pytest.fixture
def submit(files: Path, caplog):
    caplog.set_level(logging.INFO)

    def start(name: str, *overrides: str) -> str:
        caplog.clear()
        run("submit", [f"check={name}", "sample=sample.csv", "predictions=oof.csv", "n_draws=200", *overrides])
        return caplog.text

    return start


def test_a_file_is_checked_and_logged_and_its_score_is_added(submit, files, capsys):
    text = submit("a.csv")
    assert "a.csv: 200 images, 35 called positive (17.5 %)" in text
    assert "the file's threshold is not known (there is no a.meta.json)" in text
    assert "35 of 200 are called; at the threshold of best F1, " in text
    shown = capsys.readouterr().out
    assert "threshold of best F1 out of fold" in shown
    assert "by the test's share of positives" in shown
    submit("a.csv", "score=0.61", "note=first")
    text = submit("b.csv", "score=0.615")
    assert "the change of +0.005 is inside the noise: 2 changed labels" in text
    lines = [json.loads(line) for line in (files / "submissions.jsonl").read_text().splitlines()]
    assert [line["score"] for line in lines] == [None, 0.61, 0.615]
    assert len(lines[0]["called"]) == 35
    first, second = read_log(files / "submissions.jsonl")
    assert (first.score, first.note, second.score) == (0.61, "first", 0.615)
    assert first.f1 is not None
    assert "+0.005" in capsys.readouterr().out


def test_the_noise_of_a_change_is_by_the_public_share_of_its_score(submit, capsys):
    submit("a.csv", "score=0.6")
    submit("b.csv", "score=0.61", "public_share=0.5")
    noise = capsys.readouterr().out.split("±")[-1][:5]
    for name in ("a.csv", "b.csv"):
        submit(name)
        assert capsys.readouterr().out.split("±")[-1][:5] == noise
    submit("b.csv", "public_share=1")
    assert capsys.readouterr().out.split("±")[-1][:5] < noise


def test_a_line_without_a_public_share_is_of_the_whole_test(tmp_path):
    path = tmp_path / "log.jsonl"
    append(path, Submission("t", "a.csv", "1", 3, ["i1"], score=0.5))
    content = json.loads(path.read_text())
    del content["public_share"]
    path.write_text(json.dumps(content) + "\n")
    assert read_log(path)[0].public_share == 1


def test_a_score_outside_what_is_expected_or_a_large_change_is_told_apart(submit):
    submit("a.csv", "score=0.6")
    text = submit("b.csv", "score=0.9")
    assert "the leaderboard's 0.900 is outside what" in text
    assert "inside the noise" not in text


def test_a_later_check_without_predictions_keeps_what_is_known(submit, files):
    submit("a.csv", "predictions=null")
    submit("a.csv", "note=x")
    submit("a.csv", "predictions=null", "score=0.6")
    (only,) = read_log(files / "submissions.jsonl")
    assert (only.note, only.score, only.system) == ("x", 0.6, "oof.csv")


def test_another_rate_of_calls_warns_with_what_to_do(submit, files, capsys):
    table = pd.read_csv("a.csv").assign(label=(np.arange(200) < 90).astype(int))
    table.to_csv("many.csv", index=False)
    text = submit("many.csv")
    assert "90 of 200 are called" in text
    assert " are expected: these are too many; look at some of the images called 1, or predict again at a " in text
    assert "(explains the calls)" in capsys.readouterr().out
    table.assign(label=0).to_csv("none.csv", index=False)
    assert "every label is 0; F1 will be 0" in submit("none.csv")


def write_meta(file: str, value: float, called: int, images: int = 200) -> None:
    Path(file).with_suffix(".meta.json").write_text(
        json.dumps({"images": images, "threshold": {"value": value, "positive": ["1"], "called": called}})
    )


def test_counts_and_f1_are_at_the_threshold_of_the_file(submit, files, capsys):
    write_meta("a.csv", 0.9, 35)
    text, table = submit("a.csv"), pd.read_csv("oof.csv")
    above, truth = table["prob_1"] >= 0.9, table["label"] == 1
    f1 = 2 * (above & truth).sum() / (above.sum() + truth.sum())
    assert "35 of 200 are called; at the file's threshold, 0.9000, " in text
    assert f"F1 out of fold is {f1:.3f} at the file's threshold 0.9000, and " in text
    assert "skinlab.predict threshold=f1" in text
    shown = capsys.readouterr().out
    assert "expected F1 at the file's threshold, 0.9000 (fixed)" in shown
    assert f"{f1:.3f}†" in shown
    assert "† at the file's own fixed threshold" in shown
    (line,) = read_log(files / "submissions.jsonl")
    assert (line.f1, line.threshold) == (pytest.approx(f1), 0.9)
    assert expected(text) == expected(submit("a.csv", "public_share=0.3"))  # of all images, whatever is scored


def expected(text: str) -> str:
    return next(line for line in text.splitlines() if "are expected" in line)


@pytest.mark.parametrize(("value", "called", "images"), [(0.9, 34, 200), (0.9, 35, 100), ("high", 35, 200)])
def test_the_meta_data_of_another_file_give_no_threshold(submit, files, value, called, images):
    write_meta("a.csv", value, called, images)
    assert "the file's threshold is not known (a.meta.json " in submit("a.csv")


def test_a_file_of_another_model_warns_and_has_no_f1(submit, files):
    of_file = {"checkpoints": ["a", "b"], "models": ["RUNS/0", "RUNS/1"]}
    of_file |= {"images": 200, "threshold": {"value": 0.9, "positive": ["1"], "called": 35}}
    Path("a.meta.json").write_text(json.dumps(of_file))
    beside = Path("oof.meta.json")
    beside.write_text(json.dumps({"classes": ["0", "1"], "checkpoints": ["b", "a"]}))
    assert "checkpoints" not in submit("a.csv")
    (only,) = read_log(files / "submissions.jsonl")
    (files / "submissions.jsonl").unlink()
    assert only.threshold == 0.9
    beside.write_text(json.dumps({"classes": ["0", "1"], "checkpoint_sha256": "a"}))  # of one of the runs
    text = submit("a.csv")
    assert "a.csv is by RUNS/0, RUNS/1, predictions=oof.csv is by other checkpoints" in text
    assert "python -m skinlab.predict ckpt=oof.csv" in text
    assert "at the threshold of best F1" in text
    (only,) = read_log(files / "submissions.jsonl")
    assert (only.f1, only.threshold) == (None, None)


def test_files_of_one_content_are_said_to_be_one_row(submit, files, capsys):
    submit("a.csv")
    name = "another_name_of_the_same_submission.csv"
    Path(name).write_bytes(Path("a.csv").read_bytes())
    assert f"{name} has the calls of a.csv: they are one row of the table" in submit(name)
    shown = capsys.readouterr().out.splitlines()
    assert any(name in line for line in shown)
    assert any("= a.csv" in line for line in shown)
    assert not any("score" in line for line in shown)
    submit("b.csv", "score=0.6")
    assert "= a.csv" in (shown := capsys.readouterr().out)
    assert "score" in shown
    assert "also" not in json.loads(Path("submissions.jsonl").read_text().splitlines()[1])


def test_the_out_of_fold_predictions_of_an_ensemble_are_taken(submit, files):
    folder = files / "BOTH" / "predictions"
    folder.mkdir(parents=True)
    pd.read_csv("oof.csv").assign(split="oof").to_csv(folder / "oof.csv", index=False)
    (folder / "meta.json").write_text(json.dumps({"classes": ["0", "1"], "positive": ["1"], "method": "mean"}))
    whole = expected(submit("a.csv"))
    assert expected(submit("a.csv", "predictions=BOTH")) == whole
    assert expected(submit("a.csv", "predictions=BOTH/predictions/oof.csv")) == whole
    (folder / "oof.csv").rename(folder / "test.csv")
    with pytest.raises(UserError, match=r"split=val: BOTH is an ensemble without predictions of it \(it has test\)"):
        submit("a.csv", "predictions=BOTH")


def test_another_order_warns_and_is_a_row_with_the_other_file(submit, files):
    submit("a.csv")
    pd.read_csv("a.csv").iloc[::-1].to_csv("turned.csv", index=False)
    text = submit("turned.csv")
    assert "its order is not the sample's" in text
    assert "turned.csv has the calls of a.csv" in text
    (only,) = read_log(files / "submissions.jsonl")
    assert (only.file, only.also) == ("turned.csv", ["a.csv"])


def test_the_log_keeps_its_order_and_fits_80_columns(submit, files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    Path("a_long_name.csv").write_bytes(Path("a.csv").read_bytes())
    submit("a_long_name.csv", "score=0.6")
    submit("a.csv")
    submit("b.csv", "score=0.615")
    capsys.readouterr()
    submit("a.csv")
    shown = capsys.readouterr().out.splitlines()
    rows = [line for line in shown if ".csv" in line and "=" not in line]
    assert [line.split()[3] for line in rows] == ["a.csv", "b.csv"]
    assert "+0.015 ±0.0" in rows[1]
    assert max(len(line) for line in shown if line.startswith(tuple("┏┃┡│└"))) <= 80
    assert all(line.endswith(tuple("┓┃┩│┘")) for line in shown if line.startswith(tuple("┏┃┡│└")))
    assert "…" not in "".join(shown)


def test_equal_labels_have_no_f1_out_of_fold(submit, files):
    pd.read_csv("a.csv").assign(label=0).to_csv("none.csv", index=False)
    submit("none.csv")
    (only,) = read_log(files / "submissions.jsonl")
    assert (only.f1, only.low, only.threshold, only.system) == (None, None, None, "oof.csv")


def test_one_validation_part_is_named(submit, files, capsys):
    pd.read_csv("oof.csv").to_csv("val.csv", index=False)
    text = submit("a.csv", "predictions=val.csv")
    shown = " ".join(capsys.readouterr().out.split())
    assert "compared with that of best F1 of the validation part" in text
    assert "! one validation part, 1" in shown
    assert "epochs were chosen on these images" in shown
    assert "out of fold" not in shown
    submit("b.csv")
    shown = capsys.readouterr().out
    assert "F1 out" in shown
    assert "* of a validation part" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"label": "target"}), "has the columns ID, target; the challenge wants ID, label"),
        (lambda t: t.iloc[1:], "no valid submission of 200 images: 1 id missing: test/0.jpg"),
        (lambda t: t.assign(label=0.5), "200 labels are neither 0 nor 1: 0.5, 0.5, 0.5 and 197 more"),
        (lambda t: t.assign(label=0.5), "0.5 and 197 more: where these are probabilities, write 1 from a threshold on"),
        (lambda t: t.assign(label=t["label"] * 1.0), "labels are 0.0 and 1.0: write them as whole numbers"),
        (lambda t: t.assign(ID=t["ID"].str[5:]), "of 200 images: ids lack test/: write test/0.jpg$"),
        (lambda t: t.assign(ID=t["ID"].str[5:-4]), "of 200 images: ids lack test/ and .jpg: write test/0.jpg$"),
    ],
)
def test_an_invalid_file_is_refused_and_not_logged(submit, files, change, message):
    change(pd.read_csv("a.csv")).to_csv("bad.csv", index=False)
    with pytest.raises(UserError, match=message):
        submit("bad.csv")
    assert not (files / "submissions.jsonl").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sep": ";", "index": False}, "bad.csv is separated by semicolons; the challenge reads commas: save it with"),
        ({"sep": "\t", "index": False}, "bad.csv is separated by tabs"),
        ({}, "bad.csv was saved with an index: save it without"),
        ({"index": False, "header": False}, "bad.csv: the header line is missing: begin the file by ID,label"),
        ({"index": False, "header": ["id", "Label"]}, "has the columns id, Label; the challenge wants ID, label"),
        ({"index": False, "encoding": "utf-16"}, "bad.csv is no CSV in UTF-8"),
        ({"index": False, "lineterminator": ",\n"}, "bad.csv has the columns ID, label, ; the challenge wants ID"),
    ],
)
def test_a_file_that_a_challenge_would_not_read_is_refused(submit, files, how, message):
    pd.read_csv("a.csv").to_csv("bad.csv", **how)
    with pytest.raises(UserError, match=message):
        submit("bad.csv")
    assert not (files / "submissions.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), ("ID,label\n", "no line"), ("ID,label\na\n", "line 2")]
)
def test_a_cut_file_is_refused(submit, text, message):
    Path("bad.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        submit("bad.csv")


def test_a_checkpoint_is_no_submission(submit):
    Path("best.ckpt").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"best.ckpt is a checkpoint, no submission: .* ckpt=best.ckpt .* threshold=f1"):
        submit("best.ckpt")


def test_without_data_the_data_set_of_the_predictions_is_named(submit, files):
    config = {"data": {"name": "dsm2025", "root": "/data/dsm 2025"}}
    (files / "SWEEP" / "0").mkdir(parents=True)
    (files / "SWEEP" / "0" / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(UserError) as error:
        submit("a.csv", "sample=null", "predictions=SWEEP")
    assert "set data=dsm2025 'data.root=/data/dsm 2025', the data of predictions=SWEEP, or sample=" in str(error.value)
    with pytest.raises(UserError, match=r"set data=NAME data\.root=DIR, or sample="):
        submit("a.csv", "sample=null")


def test_a_missing_file_is_refused_at_once(submit, files):
    with pytest.raises(UserError, match=r"check=nowhere\.csv: no such file or folder; give the file to submit"):
        submit("nowhere.csv", "data=ham10000", "data.root=nowhere")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predictions=nowhere.csv"], "nowhere.csv: no such file"),
        (["positive=[2]"], "positive=2"),
        (["prevalences=[]"], "prevalences"),
        (["prevalences=[0.1,2]"], "prevalences"),
        (["public_share=0"], "public_share=0"),
        (["score=61"], "score=61"),
        (["sample=null"], "has no test images without labels: set sample="),
    ],
)
def test_mistakes_are_refused(submit, files, phantom, words, message):
    with pytest.raises(UserError) as error:
        submit("a.csv", "data=ham10000", f"data.root={phantom}", *words)
    assert message in str(error.value)
    assert not (files / "submissions.jsonl").exists()


def test_the_test_images_of_the_data_are_the_expected_ones(submit, files):
    for name in ("train/0/1.jpg", "train/1/1.jpg", "test/1.jpg", "test/2.jpg"):
        (files / "dsm" / name).parent.mkdir(parents=True, exist_ok=True)
        (files / "dsm" / name).touch()
    pd.DataFrame({"ID": ["test/2.jpg", "test/1.jpg"], "label": [1, 0]}).to_csv("own.csv", index=False)
    data = ["sample=null", "data=dsm2025", f"data.root={files / 'dsm'}"]
    assert "own.csv: 2 images, 1 called positive" in submit("own.csv", *data, "predictions=null")
    with pytest.raises(UserError, match=r"no valid submission of 2 images: 198 ids of no test image: test/0.jpg"):
        submit("a.csv", *data)


def test_classes_are_merged_by_positive(submit):
    table = pd.read_csv("oof.csv").rename(columns={"prob_0": "prob_nv", "prob_1": "prob_mel"})
    table = table.assign(prob_bcc=0.0, label=table["label"].map({0: "nv", 1: "mel"}))
    table.to_csv("oof.csv", index=False)
    with pytest.raises(UserError, match="positive= is missing: name some of"):
        submit("a.csv")
    submit("a.csv", "positive=[mel,bcc]")


def test_a_line_of_another_file_with_the_same_calls_keeps_what_is_known(tmp_path):
    path = tmp_path / "log.jsonl"
    append(path, Submission("t", "a.csv", "1", 3, ["i1"], system="SWEEP", f1=0.4, score=0.5))
    append(path, Submission("t", "b.csv", "2", 3, ["i1"], note="x"))
    append(path, Submission("t", "none.csv", "3", 3, [], f1=0.4, threshold=0.1))  # as older versions wrote it
    first, none = read_log(path)
    assert (first.file, first.also, first.system, first.f1) == ("b.csv", ["a.csv"], "SWEEP", 0.4)
    assert (first.score, first.note) == (0.5, "x")
    assert (none.f1, none.threshold) == (None, None)


def test_the_log_is_only_appended_to(tmp_path):
    path = tmp_path / "log.jsonl"
    append(path, Submission("t", "a.csv", "1", 3))
    before = path.read_bytes()
    path.write_bytes(before.rstrip(b"\n"))  # cut off by a full disk
    append(path, Submission("t", "b.csv", "2", 3, ["i1"]))
    assert path.read_bytes().startswith(before)
    assert [each.file for each in read_log(path)] == ["a.csv", "b.csv"]
    path.write_text("{}\n")
    with pytest.raises(UserError, match="line 1 is no submission"):
        read_log(path)
    path.write_text('{"format": 2}\n')
    with pytest.raises(UserError, match="line 1 is of a later skinlab"):
        read_log(path)


def test_the_command_needs_no_torch(files):
    words = ["check=a.csv", "sample=sample.csv", "predictions=oof.csv", "n_draws=100"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], cwd=files, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
