"""Mistakes that every command must refuse with exit code 2 and one line, checked beside the golden outcomes.

{out} is the folder of the golden runs, {data} that of their images.
"""

from __future__ import annotations

from pathlib import Path

TRAIN = ["data=ham10000", "data.root={data}", "data.image_size=32", "model.init=random", "trainer=cpu"]
PREDICT = ["input={data}", "output=refused.csv"]
OUTPUT = "output=refused"
RUN = "ckpt={out}/train"

REFUSALS: dict[str, list[list[str]]] = {
    "train": [
        [*TRAIN, "data.image_sise=32"],  # an unknown setting
        [*TRAIN, "seed=1.5"],  # a wrong type
        [*TRAIN, "data.fold=7", "data.n_folds=5"],
        [*TRAIN, "loss=focall"],  # an unknown choice
        [*TRAIN, "loss"],  # no override
        [*TRAIN, "data=folder", "data.root={out}/nowhere"],
        [*TRAIN, "data=table", "data.root={data}", "data.table={out}/cwd/tables/no_label.csv"],  # a missing column
        [*TRAIN, "model=timm", "model.name=resnet1800"],
        [*TRAIN, "callbacks.monitor=val/aurocc"],
        [*TRAIN, "evidence.positive=[mole]"],  # an unknown class
        [*TRAIN, "semi=fixmatch", "semi.threshold=3"],
        ["hydra.run.dir={out}/train", "seed=5"],  # a resumed run with another seed
        [*TRAIN, "resume={out}/nowhere.ckpt"],
    ],
    "pretrain": [
        [*TRAIN, "ssl=simclrr"],
        [*TRAIN, "ssl.temperature=0"],
        [*TRAIN, "ssl.temprature=0.1"],
        [*TRAIN, "augment=heavy"],  # the name before views=
        [*TRAIN, "data.batch_size=2"],
    ],
    "predict": [
        [],
        [*PREDICT, "ckpt={out}/nowhere"],
        [RUN, "input={out}/nowhere", "output=refused.csv"],
        [*PREDICT, RUN, "tta=flip"],
        [*PREDICT, RUN, "threshold=f9"],  # no rule of the run
        [*PREDICT, "ckpt={out}/seven", "format=kaggle"],
        [RUN, "input={data}", "output={out}/predict/p.csv"],  # which exists
    ],
    "evaluate": [
        [OUTPUT],
        [OUTPUT, "predictions={out}/nowhere"],
        [OUTPUT, "predictions={out}/cwd/tables/no_label.csv"],
        [OUTPUT, "predictions={out}/train", "positive=[mole]"],
        [OUTPUT, "predictions={out}/train", "compare_by=[aurocc]"],
        [OUTPUT, "predictions={out}/train", "thresholds=[f9]"],
        [OUTPUT, "predictions=[{out}/train,{out}/seven]"],  # of other classes
    ],
    "ensemble": [
        [OUTPUT, "runs=[{out}/train]"],
        [OUTPUT, "runs=[{out}/train,{out}/nowhere]"],
        [OUTPUT, "runs=[{out}/train,{out}/seed_1]", "method=meann"],
    ],
    "bundle": [
        [RUN],
        ["ckpt={out}/nowhere", "output=refused.bundle"],
        [RUN, "output=refused.bundle", "calibrator=platt"],
        [RUN, "output=refused.bundle", "format=onnxx"],
    ],
    "tta": [
        [OUTPUT],
        [OUTPUT, RUN, "views=[none,flip]"],
        [OUTPUT, "ckpt={out}/simclr"],
    ],
    "mine": [
        [OUTPUT],
        [OUTPUT, RUN, "by=luck"],
        [OUTPUT, RUN, "n=-1"],
    ],
    "doctor": [
        ["min_free_gb=-1"],
        ["min_free=1"],  # an unknown setting
    ],
    "audit": [
        ["data=ham10000", "data.root={out}/nowhere"],
        ["data.root={data}", "contact_sheet={out}/sheet.gif"],
        ["data.test_fraction=2"],
    ],
    "fetch": [
        [],  # the phantom is generated
        ["data=ham10000", "data.root={out}/cwd/new"],  # the licence is not accepted
        ["data=ham10000", "data.root={data}", "accept_license=true"],  # which exists
        ["data=ham10000", "source=zenodo"],
        ["data=dsm2025", "data.root={out}/cwd/new", "accept_license=true"],  # without a competition
    ],
    "submit": [
        [],
        ["check={out}/nowhere.csv"],
        ["check={out}/cwd/tables/no_label.csv"],
        ["check={out}/predict/p.csv", "score=71"],
    ],
    "study": [
        [],
        [OUTPUT, "arms=[A,Z]"],
        [OUTPUT, "budgets=[2.0]"],
        [OUTPUT, "base=[data.image_sise=32]"],
        [OUTPUT, "base_train=[model.init=nowhere.safetensors]"],
    ],
}


def write_tables(folder: Path) -> None:
    """Write the tables that some of the mistakes are about."""
    folder.mkdir()
    (folder / "no_label.csv").write_text("image_id,path,prob_nv,prob_mel\na,a.jpg,1,0\nb,b.jpg,0,1\n", encoding="utf-8")
