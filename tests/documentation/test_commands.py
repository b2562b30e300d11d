"""The commands in README and documentation have settings that exist and pass their checks; short ones are run."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from skinlab.cli.command_line import prepare_command_line
from skinlab.cli.config import compose_settings
from skinlab.cli.help import help_text
from skinlab.cli.registry import COMMANDS, list_settings
from tests.command_server import CommandServer
from tests.documentation.pages import ROOT, Documented, documented

ALL = documented()
LINES = list({(each.name, each.words): each for each in ALL}.values())
FLAGS = {"-m", "--help", "-h", "--cfg", "job"}
# Commands that are run; trainings and studies are composed only.
SHORT = [
    each
    for each in LINES
    if each.name in ("audit", "predict", "evaluate", "ensemble", "bundle", "tta", "mine", "submit")
    and "leak_meter=true" not in each.words  # which trains
]
TINY = [
    *("data=phantom", "data.root=DIR", "data.phantom_size=48", "data.image_size=32", "data.num_workers=0"),
    *("data.n_folds=2", "data.cache_dir=cache", "model=timm", "model.name=test_resnet", "model.init=random"),
    *("trainer=cpu", "trainer.max_epochs=1", "callbacks.progress=false", "evidence.n_draws=100"),
    "evidence.saliency=false",
]
SEVEN = [*TINY, "data.n_images=300", "data.min_lesions=24", "evidence.positive=[mel,bcc,akiec]"]
TWO = [
    *TINY,
    "data.layout=dsm2025",
    "data.n_positive=60",
    "data.n_negative=140",
    "data.n_unlabeled=40",
    "data.n_test=12",
]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "SKINLAB_DATA_ROOT"}
ISIC = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def test_every_command_is_documented(record_property):
    record_property("documented_commands", len(LINES))
    assert {each.name for each in ALL if each.page.startswith("docs/")} >= set(COMMANDS)
    assert {each.name for each in ALL} <= set(COMMANDS), "a page names a command that doesn't exist"
    assert len(LINES) > 80


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_documented_command_composes(line: Documented):
    if {"--help", "-h"} & set(line.words):
        assert help_text(line.name, [word for word in line.words if word not in FLAGS])
        return
    sweep = "-m" in line.words
    words = [word for word in line.words if word not in FLAGS]
    overrides = prepare_command_line(words, list_settings(line.name), COMMANDS[line.name].aliases)
    kept = [re.sub(r"=([\w./-]+),.*", r"=\1", word) if sweep else word for word in overrides if "interval(" not in word]
    compose_settings(line.name, [word for word in kept if not word.startswith("hydra") and word != "sweep=folds"])


def test_make_targets_and_extras_of_the_pages_exist():
    text = "\n".join((ROOT / each).read_text(encoding="utf-8") for each in sorted({line.page for line in ALL}))
    makefile, project = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "pyproject.toml"))
    targets = set(re.findall(r"^make (\w[\w-]*)", text, re.MULTILINE)) | set(re.findall(r"`make (\w[\w-]*)`", text))
    assert targets >= {"demo", "test", "docs"}
    assert not {name for name in targets if f"\n{name}:" not in makefile}
    assert not {name for name in re.findall(r"skinlab\[(\w+)\]", text) if f"\n{name} = [" not in project}


def two_classes(line: Documented) -> bool:
    """Return whether a command is for DSM-2025."""
    return line.page.endswith("kaggle.md") or "format=kaggle" in line.words or "data=dsm2025" in line.words


@pytest.fixture(scope="module", params=[False, True], ids=["seven", "two"])
def things(request, tmp_path_factory: pytest.TempPathFactory, command_server: CommandServer) -> tuple[bool, Path]:
    """A folder with what the placeholders of the pages name: runs, sweeps, tables, bundles and images."""
    folder = tmp_path_factory.mktemp("things")
    tiny = TWO if request.param else SEVEN
    no_evidence = [*(word for word in tiny if not word.startswith("evidence.")), "evidence=off"]

    def run(command: str, *words: str) -> None:
        done = command_server.run(command, words, folder, ENVIRONMENT, 300)
        assert done.returncode == 0, done.stderr[-2000:]

    run("train", *tiny, "hydra.run.dir=RUN", "data.label_budget=0.6")
    for seed, name in enumerate(("A", "B")):
        run("train", *tiny, f"hydra.run.dir=RUN_{name}", f"seed={seed}")
        run("train", "-m", *no_evidence, "data.fold=0,1", f"seed={seed}", f"hydra.sweep.dir=SWEEP_{name}")
    copies = {"CNNS": "B", "LITE0": "A", "LITE1": "B", "SWEEP2": "B", "sweeps/TIME_ham10000": "A"}
    for name, source in copies.items():
        shutil.copytree(folder / f"SWEEP_{source}", folder / name)
    evidence = tiny if request.param else no_evidence  # a sweep of two classes is predicted with its own thresholds
    run("train", "-m", *evidence, "data.fold=0,1", "seed=2,3,4", "hydra.sweep.dir=SWEEP")  # jobs 0 to 2: fold 0
    positive = [] if request.param else ["positive=[mel,bcc,akiec]"]
    rules = ["decide=prior:auto", "n_draws=100", "calibration=false", *positive]
    run("evaluate", "predictions=RUN_A", "output=EVIDENCE", *rules)
    run("ensemble", "runs=SWEEP_A,SWEEP_B", "output=BOTH", "n_draws=100", "calibration=false", "search=null")
    run("bundle", "ckpt=RUN", "output=model.bundle", "thresholds=[f1]", *positive)
    (folder / "data").mkdir()
    (folder / "data" / ("dsm2025" if request.param else "ham10000")).symlink_to(folder / "DIR")
    run("evaluate", "predictions=RUN", "output=HOME", "n_draws=100", "calibration=false", *positive)
    if request.param:
        run("predict", "ckpt=RUN", "input=DIR/test", "output=submission.csv", "format=kaggle")
        shutil.copy(folder / "submission.csv", folder / "both.csv")
    shutil.copy(folder / "EVIDENCE" / "decision.json", folder / "DIR")
    write_tables(folder, two=request.param)
    return request.param, folder


def write_tables(folder: Path, *, two: bool) -> None:
    """Write the tables that the pages name: of the validation images, and of others on which nothing was chosen."""
    val, test = (pd.read_csv(folder / "RUN_A" / "predictions" / f"{name}.csv") for name in ("val", "test"))
    plain = ["split", "fold"]
    for name, table in {"A": val, "B": val, "NEW": test, "OTHER": test}.items():
        table.drop(columns=plain).to_csv(folder / f"{name}.csv", index=False)
    elsewhere = test.assign(**{name: "elsewhere_" + test[name] for name in ("image_id", "group")})
    elsewhere.drop(columns=[*plain, "label", "path"]).to_csv(folder / "elsewhere.csv", index=False)
    for name, table in {"truth": val, "LABELS": elsewhere}.items():
        table[["image_id", "label", "group"]].to_csv(folder / f"{name}.csv", index=False)
    for name in ("FOLDER", "IMAGES"):
        (folder / name).mkdir()
        for path in val["path"][:12]:
            shutil.copy(path, folder / name)
    if not two:
        truth = {name: (val["label"] == name.lower()).astype(float) for name in ISIC}
        given = {name: val[f"prob_{name.lower()}"] for name in ISIC}
        for name, columns in {"ISIC2018_Task3_Test_GroundTruth": truth, "submission": given}.items():
            pd.DataFrame({"image": val["image_id"]} | columns).to_csv(folder / f"{name}.csv", index=False)
        write_vendor_tables(folder, val)


def write_vendor_tables(folder: Path, val: pd.DataFrame) -> None:
    """Write tables of two classes as a device exports them, and those of its patients and diagnoses."""
    names = val["image_id"] + ".jpg"
    diagnosis = val["label"].map({"mel": "melanoma", "bcc": "BCC"}).fillna("nevus")
    score = val[["prob_mel", "prob_bcc"]].sum(axis=1)
    numbers = range(len(val))
    known = {"Age (years)": [30 + number % 50 for number in numbers], "Sex": ["mf"[number % 2] for number in numbers]}
    known |= {"Body site": [("back", "arm", "leg")[number % 3] for number in numbers]}
    patients = pd.DataFrame({"File name": names, "Patient number": pd.factorize(val["group"])[0]} | known)
    device = patients.assign(Diagnosis=diagnosis, **{"Malignancy probability (%)": (100 * score).round(1)})
    device.to_csv(folder / "device.csv", index=False)
    patients.to_csv(folder / "patients.csv", index=False)
    malignant = (diagnosis != "nevus").map({True: "malignant", False: "benign"})
    pd.DataFrame({"image_id": names, "label": malignant}).to_csv(folder / "diagnoses.csv", index=False)
    for name, given in {"old": score, "new": 1 - (1 - score) ** 2}.items():
        pd.DataFrame({"image_id": names, "prob_malignant": given}).to_csv(folder / f"{name}.csv", index=False)
    table = pd.DataFrame({"image_id": names, "label": malignant, "prob_malignant": score})
    table.to_csv(folder / "TABLE.csv", index=False)


@pytest.mark.slow
def test_short_commands_run(things: tuple[bool, Path], tmp_path: Path, command_server: CommandServer):
    two, folder = things
    failed = []
    for number, line in enumerate(each for each in SHORT if two_classes(each) == two):
        here = tmp_path / str(number)
        here.mkdir()
        words = [word.replace("DSM_ROOT", "DIR") for word in line.words]
        words = [re.sub("^confidence=.*", "confidence=0.5", word) for word in words]  # no tiny model is surer
        made = {word.partition("=")[2] for word in words if word.startswith("output=")}
        for path in folder.iterdir():
            if path.name not in made:
                (here / path.name).symlink_to(path)
        done = command_server.run(line.name, words, here, ENVIRONMENT, 300)
        if done.returncode:
            failed.append(f"{line}: {done.stderr.strip().splitlines()[-1]}")
    assert not failed, "\n".join(failed)
