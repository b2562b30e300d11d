"""Other trainings are compared with the model on the same images, and those that can't be are refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.mitigations import Mitigations
from skinlab.battery.model import Image, Model
from skinlab.battery.probe import NotRunError
from skinlab.errors import UserError
from tests.run_directory import write_run

DATA = {"name": "phantom", "root": "/data", "fold": 0}
CONFIG = {"run_id": "a", "seed": 0, "loss": {}, "augment": {"mixup": 0.0}, "data": DATA, "model": {"init": "imagenet"}}


def hashed(rows: pd.DataFrame, first: int = 1) -> pd.DataFrame:
    return rows.assign(image_hash=[f"{first + i:064x}"[::-1] for i in range(len(rows))])


def write_training(run: Path, rows: pd.DataFrame, network: Path, train: pd.DataFrame | None = None, **config) -> Path:
    """Write what a training leaves whose validation images are these."""
    split = pd.concat([rows.assign(split="val"), *([] if train is None else [train.assign(split="train")])])
    score = np.where(rows["label"] == "mel", 0.7, 0.3) + np.linspace(-0.25, 0.25, len(rows))
    columns = ["image_id", "group", "source", "fold", "split", "label"]
    val = rows[columns].assign(prob_nv=1 - score, prob_mel=score)
    write_run(run, config=CONFIG | config, split=split, val=val)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").symlink_to(network)
    return run


@pytest.fixture
def rows(disc_rows: pd.DataFrame) -> pd.DataFrame:
    return hashed(disc_rows)


@pytest.fixture
def bench(bench_of: Callable[..., Bench], rows: pd.DataFrame, checkpoint: Path, tmp_path: Path) -> Bench:
    made = bench_of(rows=rows)
    other = hashed(rows.assign(image_id="o" + rows["image_id"], group="o" + rows["group"]), 1000)
    run = write_training(tmp_path / "plain", rows, checkpoint)
    return replace(made, run=run, outside=ImageSet("outside (phantom)", other, made.model, made.yardstick))


@pytest.fixture
def sweep(rows: pd.DataFrame, checkpoint: Path, tmp_path: Path) -> Path:
    write_training(tmp_path / "sweep" / "0", rows, checkpoint, augment={"mixup": 0.4})
    return tmp_path / "sweep"


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training but the model's own guess."""

    def guess(self: Model, images: Image, alter: object = None) -> np.ndarray:
        p = np.random.default_rng(0).uniform(0.2, 0.8, len(images))
        return np.stack([1 - p, p], 1)

    monkeypatch.setattr(Model, "predict", guess)


@pytest.mark.usefixtures("guesses")
def test_a_training_that_guesses_is_said_to_hurt(bench: Bench, sweep: Path):
    probe = Mitigations(str(sweep))
    assert probe.passes(bench) == 240
    found = probe.run(bench)
    (sentence,) = found.outcome
    assert sentence.startswith("augment.mixup=0.4 hurts: sensitivity \N{MINUS SIGN}")
    assert [(each["name"], each["dose"]) for each in found.conditions] == [
        (name, place)
        for name in ("the model (augment.mixup=0)", "augment.mixup=0.4")
        for place in ("outside", "at home")
    ]
    assert found.flags == []
    assert any("Give several seeds" in note for note in found.notes)


@pytest.mark.usefixtures("guesses")
def test_seeds_of_a_recipe_are_one_recipe(bench: Bench, sweep: Path, rows: pd.DataFrame, checkpoint: Path):
    write_training(sweep / "1", rows, checkpoint, augment={"mixup": 0.4}, seed=1)
    write_training(sweep / "2", rows, checkpoint, seed=1)
    found = Mitigations([str(sweep)]).run(bench)
    assert [row["cells"][0] for row in found.tables[0]["rows"]] == [2, 2]
    write_training(sweep / "3", rows, checkpoint, seed=1)
    with pytest.raises(UserError, match=r"sweep/2, .*sweep/3 are of one recipe, seed and fold; remove all but one"):
        Mitigations([str(sweep)]).passes(bench)


@pytest.mark.usefixtures("guesses")
def test_images_that_one_was_trained_on_count_for_none(
    bench: Bench, tmp_path: Path, rows: pd.DataFrame, checkpoint: Path
):
    """Few labels of the other place, added to the training, are left out of the comparison."""
    few = bench.outside.rows[:30]
    adapted = write_training(
        tmp_path / "adapted", few[20:], checkpoint, few[:20], model={"init": str(tmp_path / "plain")}
    )
    probe = Mitigations([str(adapted)])
    assert probe.passes(bench) == 120 + 90
    found = probe.run(bench)
    assert {each["images"] for each in found.conditions if each["dose"] == "outside"} == {90}
    assert any("30 images outside left out for all recipes" in note for note in found.notes)
    assert [row["name"] for row in found.tables[0]["rows"]] == ["the model (model.init=imagenet)", "model.init=plain"]


@pytest.mark.usefixtures("guesses")
def test_a_training_whose_images_are_not_known_is_named(
    bench: Bench, tmp_path: Path, rows: pd.DataFrame, checkpoint: Path
):
    other = write_training(tmp_path / "other", rows, checkpoint, model={"init": "gone.safetensors"})
    found = Mitigations([str(other)]).run(bench)
    assert any(note.startswith("The training images of other (") for note in found.notes)


def test_trainings_that_do_not_fit_are_refused(bench: Bench, sweep: Path, rows: pd.DataFrame, checkpoint: Path):
    def refused(message: str, place: Path = sweep) -> None:
        with pytest.raises(UserError, match=message):
            Mitigations([str(place)]).passes(bench)

    refused("is no run of skinlab.train, no folder of runs and no bundle", checkpoint)
    refused("all runs are of the model's own recipe", bench.run)
    write_training(sweep / "1", rows[60:], checkpoint, rows[:60], augment={"mixup": 0.2})
    refused("sweep/1 was trained on 60 of the 120 images at home; train it with the folds of .*plain")
    (sweep / "1" / "metrics.json").unlink()
    refused("sweep/1: this run was not finished")


def test_without_other_trainings_or_images_outside_it_is_not_run(bench: Bench, sweep: Path):
    with pytest.raises(NotRunError, match=r"it needs trainings of other recipes: .* mitigations=SWEEP"):
        Mitigations().passes(bench)
    with pytest.raises(NotRunError, match="no images of another source"):
        Mitigations([str(sweep)]).passes(replace(bench, outside=None))
    with pytest.raises(NotRunError, match="a bundle has no recipe"):
        Mitigations([str(sweep)]).passes(replace(bench, run=None))
    few = replace(bench, outside=bench.outside.of((bench.outside.rows["label"] == "nv").to_numpy()))
    with pytest.raises(NotRunError, match="too few images outside"):
        Mitigations([str(sweep)]).run(few)
