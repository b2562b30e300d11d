"""A leak meter from its overrides to its files: real trainings of a tiny network on a phantom of 48 px."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skinlab.cli.config import compose_settings
from skinlab.commands.audit import audit
from skinlab.errors import UserError
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import table_arrays
from skinlab.leaks import meter
from skinlab.leaks.meter import compose_recipes
from skinlab.leaks.plan import BY_TEST, TEST, VAL, Training, inject, make_plan
from skinlab.leaks.training import run_training
from skinlab.processes.progress import Progress
from skinlab.runs.preparation import prepare_data
from skinlab.settings.command import Invocation
from tests.conftest import MALIGNANT

SMALL = ["leaks.network=timm", "leaks.image_size=32", "leaks.epochs=2", "leaks.pretrain_epochs=1", "leaks.copies=[1.0]"]
SMALL += ["leaks.same_lesion=[1.0]", "leak_meter=true"]
BASE = ["model.name=test_resnet", "model.init=random", "trainer=cpu", "trainer.precision=32-true", "data.batch_size=16"]


@pytest.fixture(scope="module")
def overrides(phantom: Path, shared_tmp: Path) -> list[str]:
    data = ["data=ham10000", f"data.root={phantom}", f"data.cache_dir={shared_tmp / 'cache'}", "data.n_folds=2"]
    return [*data, f"data.label_map={MALIGNANT}", "data.num_workers=0", *SMALL, f"leaks.base={json.dumps(BASE)}"]


def measure(overrides: list[str], run_dir: Path) -> Path:
    command = " ".join(["python -m skinlab.audit", *overrides])
    invocation = Invocation([each for each in overrides if each.startswith("data")], {}, compose_settings, command)
    audit(compose_settings("audit", overrides, run_dir), invocation)
    return run_dir


@pytest.fixture(scope="module")
def measured(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(overrides, tmp_path_factory.mktemp("leaks") / "run")


def test_the_files_are_results_and_predictions_but_no_weights(measured: Path):
    names = {str(path.relative_to(measured)) for path in measured.rglob("*") if path.is_file()}
    trainings = ["clean", "copies_1", "same_lesion_1", "pretrained", "pretrained_on_test"]
    tables = {f"leaks/{name}_seed0.csv" for name in trainings}
    tables |= {"leaks/clean_seed0_val.csv", "leaks/clean_seed0_epoch_by_test.csv", "leaks/made_with.json"}
    assert names == tables | {"audit.json", "split.csv", "leaks.json", "leaks.html"}


def test_every_leak_has_its_differences(measured: Path):
    evidence = json.loads((measured / "leaks.json").read_text())
    kinds = [leak["kind"] for leak in evidence["leaks"]]
    assert kinds == ["copies", "same_lesion", "pretraining", "epoch", "threshold", "threshold"]
    for leak in evidence["leaks"]:
        assert leak["status"] == "run"
        for found in leak["metrics"].values():
            difference = found["leaked"]["value"] - found["clean"]["value"]
            assert found["difference"]["value"] == pytest.approx(difference)
    page = (measured / "leaks.html").read_text()
    assert all(leak["title"].split(" (")[0] in page for leak in evidence["leaks"])
    assert "choose no model or setting by them" in page


def test_the_epoch_chosen_on_the_test_is_never_worse_on_it(measured: Path):
    tables = [pd.read_csv(measured / "leaks" / f"clean_seed0{each}.csv") for each in ("", f"_{BY_TEST}")]
    chosen, by_test = (classification_metrics(*table_arrays(each))["balanced_accuracy"] for each in tables)
    assert by_test >= chosen


def test_finished_trainings_are_not_repeated(
    measured: Path, overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (measured / "leaks" / "copies_1_seed0.csv").unlink()
    before = json.loads((measured / "leaks.json").read_text())["leaks"]
    trained: list[str] = []

    def run(training: Training, *args):
        trained.append(training.name)
        return run_training(training, *args)

    monkeypatch.setattr(meter, "run_training", run)
    measure(overrides, measured)
    assert trained == ["copies_1"]
    assert json.loads((measured / "leaks.json").read_text())["leaks"] == before
    assert "what leaks are worth" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"other settings.*choose another hydra\.run\.dir"):
        measure([*overrides, "leaks.epochs=1"], measured)


def test_a_training_with_nothing_leaked_is_the_clean_one(overrides: list[str], tmp_path: Path):
    settings = compose_settings("audit", overrides, tmp_path)
    data = [each for each in overrides if each.startswith("data")]
    prepared, invocation = prepare_data(settings.data), Invocation(data, {}, compose_settings)
    plan = make_plan(prepared.manifest, settings.leaks)
    recipes = compose_recipes(settings.leaks, invocation, plan, tmp_path)
    clean = plan.trainings["clean"]
    empty = Training("copies_0", inject(plan.clean, plan.clean.iloc[:0]))
    first, second = (
        run_training(each, recipes, prepared, 0, Progress("", 1, visible=False))[TEST] for each in (clean, empty)
    )
    pd.testing.assert_frame_equal(first, second)
    leaked = run_training(plan.trainings["copies_1"], recipes, prepared, 0, Progress("", 1, visible=False))[TEST]
    columns = [name for name in first if name.startswith("prob_")]
    assert not np.allclose(first[columns], leaked[columns])
    assert clean.keeps == (TEST, BY_TEST, VAL)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["data.test_fraction=0"], "no test part"),
        (['leaks.rules=["p>=0.3"]'], "fixed beforehand"),
        ([f"leaks.base={json.dumps([*BASE, 'trainer.devices=2'])}"], "trains on one device"),
        (["leaks.seeds=[0,0]"], "one is there twice"),
        (["leaks.kinds=[copy]"], "leaks.kinds"),
    ],
)
def test_mistakes_are_refused_before_any_training(overrides: list[str], tmp_path: Path, more: list[str], words: str):
    with pytest.raises(UserError, match=words):
        measure([*overrides, *more], tmp_path / "run")
    assert not list(tmp_path.rglob("leaks/*.csv"))
