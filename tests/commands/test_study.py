"""A study: its plan, its runs (fakes that leave what a run leaves), its verdicts, and its mistakes."""

from __future__ import annotations

import json
import sys
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from skinlab.cli.config import compose_settings
from skinlab.commands import study as studying
from skinlab.commands.study import check_jobs, study
from skinlab.errors import UserError
from skinlab.settings.command import Invocation
from skinlab.settings.commands.study import StudySettings
from skinlab.studies.jobs import FAILED, command_line
from skinlab.studies.plan import Job, Plan, check_overrides, make_plan
from skinlab.studies.rows import Rows
from tests import run_directory
from tests.command_settings import settings_of
from tests.conftest import MALIGNANT

CHOICES = {"data": "ham10000", "model": "resnet18", "trainer": "cpu", "ssl": "simclr", "semi": "fixmatch"}
QUICK = {"n_draws": 100, "calibration": False, "reports": False, "saliency": False, "epochs": 2, "pretrain_epochs": 3}


@pytest.fixture(scope="module")
def settings(phantom: Path, shared_tmp: Path):
    """Compose the config of a study of the phantom."""
    words = ["data=ham10000", f"data.root={phantom}", "data.n_folds=2", f"data.label_map={MALIGNANT}"]
    words += [f"data.cache_dir={shared_tmp / 'cache'}"]

    def made(output: Path, **more: Any) -> StudySettings:
        values = QUICK | {"output": output, "budgets": [0.5, 1.0], "seeds": [0, 1]} | more
        return settings_of("study", *words, **values)

    return made


@pytest.fixture(scope="module")
def rows(settings) -> Rows:
    return Rows(settings(Path("o")).data, [0])


@pytest.fixture
def invocation(phantom: Path) -> Invocation:
    return Invocation(
        ["data=ham10000", f"data.root={phantom}", "ssl.temperature=0.2", "semi.weight=2", "seeds=[0]"],
        CHOICES,
        compose_settings,
    )


def value(job: Job, key: str) -> str:
    return next(word.partition("=")[2] for word in job.overrides if word.partition("=")[0].lstrip("+") == key)


def write_run(job: Job, runs: Path, rows: Rows, gain: float = 0.0) -> None:
    """Leave what a finished run leaves."""
    classes = rows.prepared[0].classes
    truth = rows.test["label"].to_numpy()[:, None] == np.array(classes)
    shared = np.random.default_rng(0).standard_normal(truth.shape)
    own = np.random.default_rng(zlib.crc32(job.name.encode())).standard_normal(truth.shape)
    p = np.exp(shared + 0.05 * own + (0.5 + gain) * truth)
    table = rows.test[["image_id", "group", "source", "label"]].assign(fold=0, split="test")
    table[[f"prob_{name}" for name in classes]] = p / p.sum(1, keepdims=True)
    run = run_directory.write_run(runs / job.name, test=table)
    (run / "backbone.safetensors").touch()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, rows: Rows):
    """Let every run leave its results at once; returns the names of what was started."""
    started: list[str] = []
    told = SimpleNamespace(started=started, broken=set(), gains={"A": -1.0, "A+": -1.0, "C": -1.0, "D": 9.0})

    def begin(job: Job, runs: Path, launcher: str | None) -> list[str]:
        started.append(job.name)
        if job.name in told.broken:
            return [sys.executable, "-c", "import sys; sys.exit('error: out of memory')"]
        write_run(job, runs, rows, told.gains.get(job.name.partition("_")[0], 0.0))
        return ["true"]

    monkeypatch.setattr(studying, "command_line", begin)
    monkeypatch.setattr(studying, "check_jobs", lambda *_: None)  # has a test of its own, and takes its time
    monkeypatch.setattr(studying, "Rows", lambda data, folds: rows)
    monkeypatch.setattr("skinlab.studies.power.POWER_TABLES", 20)
    return told


def test_every_arm_has_its_runs_and_shares_what_it_can(settings, invocation, rows):
    arms = ["A", "A+", "B", "C", "D", "E", "F", "G"]
    plan = make_plan(settings(Path("o"), arms=arms), invocation, rows, Path("/o/runs"))
    kinds = Counter(name.partition("_b")[0] for name in plan.jobs)
    assert kinds["D-pretrain"] == 2, "a seed each: budgets and arms D and F share the pool's"
    assert kinds["C-pretrain"] == 4
    assert "F-pretrain" not in kinds
    assert kinds["E"] == kinds["F"] == 2, "nothing is left for a pool at the budget 1"
    assert plan.left_out == [f"{arm} has no pool at the budget 1, and is left out there." for arm in "EF"]
    assert {kinds[arm] for arm in ("A", "A+", "B", "C", "D", "G")} == {4}
    order = list(plan.jobs)
    assert all(job.after is None or order.index(job.after) < order.index(job.name) for job in plan.jobs.values())
    assert len(plan.cells) == sum(job.command == "train" for job in plan.jobs.values())


def test_compute_is_matched_to_within_half_an_epoch(settings, invocation, rows):
    config = settings(Path("o"), arms=["A", "A+", "B", "C", "D", "E", "G"], validations=100)
    plan = make_plan(config, invocation, rows, Path("/o/runs"))
    images = {}
    for cell in plan.cells:
        job = plan.jobs[cell.job]
        before = plan.jobs[job.after].images if job.after else 0
        images[cell.arm, cell.budget, cell.seed] = before + job.images
    for budget in (0.5, 1.0):
        assert images["A", budget, 0] == images["B", budget, 0] == pytest.approx(images["A", 1.0, 0], rel=0.2)
        together = images["D", budget, 0]
        for arm in ("A+", "C", "G"):
            assert images[arm, budget, 0] == pytest.approx(together, rel=0.1)
    one = plan.jobs["E_b0.5_f0_s0"]
    batch, ratio = config.data.batch_size, config.semi.pool_ratio
    per_epoch = one.rows // batch * batch * (1 + 2 * ratio)
    assert one.images == int(value(one, "trainer.max_epochs")) * per_epoch
    assert abs(one.images - images["D", 0.5, 0]) <= per_epoch


def test_words_are_the_study_s_then_the_user_s_then_the_arm_s(settings, invocation, rows):
    user = Invocation([*invocation.overrides, "model.init=imagenet", "trainer.precision=16"], CHOICES, compose_settings)
    config = settings(Path("o"), arms=["A", "D", "E"], base=["data.batch_size=8"], base_train=["loss=focal"])
    plan = make_plan(config, user, rows, Path("/o/it's, here/runs"))
    before, after, plain = (plan.jobs[f"{name}_b0.5_f0_s1"] for name in ("D-pretrain", "D", "A"))
    before = plan.jobs["D-pretrain_b0.5_f0_s1"]
    assert (value(before, "ssl"), value(before, "pool"), value(before, "ssl.temperature")) == ("simclr", "all", "0.2")
    assert value(before, "data.label_budget") == "0.5", "its probe knows no more labels than the smallest budget"
    assert "loss=focal" in after.overrides
    assert "loss=focal" not in before.overrides
    assert "ssl.temperature=0.2" not in after.overrides
    assert "semi.weight=2" in plan.jobs["E_b0.5_f0_s1"].overrides
    assert "semi.weight=2" not in plain.overrides
    assert value(plain, "model.init") == "imagenet"
    assert {value(job, "seed") for job in (before, after, plain)} == {"1"}
    (parsed,) = OverridesParser.create().parse_overrides([f"model.init={value(after, 'model.init')}"])
    assert parsed.value() == "/o/it's, here/runs/D-pretrain_b0.5_f0_s1/backbone.safetensors"
    assert int(value(after, "model.freeze_epochs")) == max(1, round(0.25 * int(value(after, "trainer.max_epochs"))))
    for job in plan.jobs.values():
        keys = [word.partition("=")[0] for word in job.overrides]
        assert len(keys) == len(set(keys))
        OverridesParser.create().parse_overrides(list(job.overrides))
        assert int(value(job, "trainer.max_epochs")) % int(job.command == "pretrain" or value(job, CHECK)) == 0


def test_compute_counts_the_images_of_whole_batches_and_the_method_s_views(settings, invocation, rows):
    config = settings(Path("o"), arms=["A", "C", "E"], base=["data.batch_size=25"], budgets=[0.5])
    plan = make_plan(config, invocation, rows, Path("/o/runs"))
    labelled = rows.labelled(0.5, 0, 0)
    steps, ratio = labelled // 25, config.semi.pool_ratio
    an_epoch = {"A": 25 * steps, "C-pretrain": 2 * 25 * steps, "E": 25 * steps * (1 + 2 * ratio)}
    for arm, images in an_epoch.items():
        one = plan.jobs[f"{arm}_b0.5_f0_s0"]
        assert (one.rows, one.images) == (labelled, images * int(value(one, "trainer.max_epochs")))
    larger = config.updated({"base": ["data.batch_size=100"]})
    few = make_plan(larger, invocation, rows, Path("/o/runs")).jobs["E_b0.5_f0_s0"]
    assert few.images == (labelled + 2 * ratio * 100) * int(value(few, "trainer.max_epochs")), (
        "the pool's batch is whole"
    )
    denoise = config.updated({"ssl": {"_target_": "skinlab.selfsup.denoise.Denoise", "name": "denoise"}})
    alone = make_plan(denoise, invocation, rows, Path("/o/runs")).jobs["C-pretrain_b0.5_f0_s0"]
    assert alone.images == an_epoch["C-pretrain"] // 2 * int(value(alone, "trainer.max_epochs"))


def test_answers_join_after_the_budget_as_in_a_run(settings, rows, tmp_path):
    hidden = rows.manifest(0.5, 0, 0).query("hidden_label != ''").iloc[0]
    answers = tmp_path / "labels.csv"
    answers.write_text(f"image_id,label\n{hidden['image_id']},{hidden['hidden_label']}\n")
    told = Rows(settings(tmp_path).data.updated({"labels": str(answers)}), [0])
    assert told.labelled(0.5, 0, 0) == rows.labelled(0.5, 0, 0) + 1
    assert told.labelled(1.0, 0, 0) == rows.labelled(1.0, 0, 0)


CHECK = "trainer.check_val_every_n_epoch"


def test_the_words_compose_and_name_what_they_lack(settings, invocation, rows):
    config = settings(Path("o"), arms=list("BCE"), base_pretrain=["data.batch_size=4"])
    plan = make_plan(config, invocation, rows, Path("/o/runs"))
    check_jobs(plan, invocation)
    wrong = Job("A_b1", "train", ("data=ham10000", "loss=fokal"), 1, 1)
    with pytest.raises(UserError, match=r"A: loss=fokal: no such choice \(did you mean focal\?\)"):
        check_jobs(Plan({"A_b1": wrong}), invocation)
    small = settings(Path("o"), arms=["C"], base_pretrain=["data.batch_size=4096"])
    with pytest.raises(UserError, match=r"C-pretrain_b0\.5_f0_s0: its \d+ images are less than a batch of 4096"):
        check_jobs(make_plan(small, invocation, rows, Path("/o/runs")), invocation)
    elsewhere = settings(Path("o"), arms=["A", "D"], base_train=["model.init=/nowhere.safetensors"])
    with pytest.raises(UserError, match=r"^A: model.init=/nowhere.safetensors: no such file"):
        check_jobs(make_plan(elsewhere, invocation, rows, Path("/o/runs")), invocation)


def test_a_study_ends_in_a_verdict_and_goes_on_where_it_stopped(settings, invocation, fake, tmp_path, capsys):
    output = tmp_path / "o"
    config = settings(output, arms=["A", "A+", "C", "D"], budgets=[0.5], level=0.9, base_pretrain=["data.batch_size=4"])
    fake.broken = {"A+_b0.5_f0_s1"}
    with pytest.raises(SystemExit) as ended:
        study(config, invocation)
    assert ended.value.code == 1
    content = json.loads((output / "study.json").read_text())
    assert content["runs"]["A+_b0.5_f0_s1"]["state"] == FAILED
    assert "A+_b0.5_f0_s1 is missing: out of memory" in content["cautions"]
    assert not content["finished"]
    for run in content["runs"].values():
        run["words"] = run.pop("overrides")
    (output / "study.json").write_text(json.dumps(content | {"format": 1}))  # a file of format 1 is continued
    fake.broken, fake.started[:] = set(), []
    study(config.updated({"seeds": [0, 1, 2]}), invocation)
    again = {"A+_b0.5_f0_s1", *(f"{arm}_b0.5_f0_s2" for arm in ("A", "A+", "C", "D", "C-pretrain", "D-pretrain"))}
    assert set(fake.started) == again, "what is finished is passed over; seeds may join"
    content = json.loads((output / "study.json").read_text())
    assert content["finished"]
    assert content["format"] == 2
    assert all(run["overrides"] and "words" not in run for run in content["runs"].values())
    (verdict,) = content["verdicts"]
    assert verdict["verdict"] == "helps", verdict["sentence"]
    assert verdict["sentence"] in capsys.readouterr().out
    assert "The unlabeled pool helps</h1>" in (output / "report.html").read_text()
    assert {arm["trainings"] for arm in content["budgets"][0]["arms"]} == {3}
    assert content["power"]["budgets"][0]["own_seeds"], "seeds have joined"
    study(config.updated({"seeds": [0, 1, 2]}), invocation)  # as after a kill between the verdict and the report
    assert json.loads((output / "study.json").read_text())["power"] == content["power"]
    with pytest.raises(
        UserError, match=r"has trainer\.max_epochs=\d+, now trainer\.max_epochs=\d+; choose another output="
    ):
        study(config.updated({"epochs": 30}), invocation)


def test_arms_that_are_alike_are_no_evidence_and_every_budget_has_its_full_report(settings, invocation, fake, tmp_path):
    fake.gains = {}
    config = settings(tmp_path / "o", arms=["A", "A+", "E"], reports=True, thresholds=["f1"])
    study(config, invocation)
    content = json.loads((tmp_path / "o" / "study.json").read_text())
    assert [each["verdict"] for each in content["verdicts"]] == ["no evidence"], "E has no pool at the budget 1"
    evidence = json.loads((tmp_path / "o" / "budgets" / "0.5" / "evidence.json").read_text())
    assert [system["name"] for system in evidence["systems"]] == ["A", "A+", "E"]
    page = {(each["a"], each["b"], each["metric"]): each for each in evidence["comparisons"]}
    for each in content["differences"]:
        if (each["a"], each["b"]) == ("E", "A") and each["budget"] == 0.5:
            there, here = page["E", "A", each["metric"]], each["difference"]
            assert [there["difference"][key] for key in ("value", "low", "high")] == [
                here[key] for key in ("value", "low", "high")
            ]
            assert (there["p"], there["variance_trainings"]) == (here["p"], here["variance_trainings"])
    assert evidence["systems"][0]["spread"]["replicate_axis"] == "seed"
    assert (tmp_path / "o" / "budgets" / "1" / "report.html").is_file()


def test_a_plan_prints_commands_and_power_and_starts_nothing(settings, invocation, fake, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(studying, "command_line", command_line)
    study(settings(tmp_path / "o", arms=["A", "D"], plan=True), invocation)
    printed = capsys.readouterr().out
    assert "# D gets no verdict without C (pretrained on the labelled images, then LP-FT) and A+ (superv" in printed
    assert printed.count("python -m skinlab.train ") == 8
    assert printed.count("python -m skinlab.pretrain ") == 2
    assert "2 trainings an arm. 80 % power for a true difference of: 0." in printed
    assert not fake.started
    assert not (tmp_path / "o").exists()


def test_the_power_of_so_many_images_needs_no_data(settings, capsys, tmp_path):
    power = {"positives": 59, "negatives": 1014, "auroc": 0.9, "correlation": 0.85, "seed_sd": 0.0}
    study(settings(tmp_path, seeds=[0], power=power), invocation)
    printed = capsys.readouterr().out
    assert printed.startswith(
        "1,073 test images (1014 + 59) and 1 training an arm. 80 % power (3 verdicts counted) for"
    )
    assert "With one training an arm there is no verdict" in printed
    with pytest.raises(UserError, match="give both"):
        study(settings(tmp_path, power=power | {"negatives": None}), invocation)


MISTAKES = [
    ({"arms": ["A", "H"]}, "arms: H is none of A, A\\+, B"),
    ({"arms": []}, r"arms=\[\]: the list is empty; name one or more"),
    ({"seeds": []}, r"seeds=\[\]: give one or more, such as seeds=\[0,1,2\]"),
    ({"seeds": [0, 0]}, "one is there twice"),
    ({"seeds": [-1]}, r"seeds\.0=-1: a number of at least 0"),
    ({"budgets": [0]}, "0 is no budget"),
    ({"budgets": [1.5]}, "1.5 is no budget"),
    ({"budgets": [0.1, 300]}, "all as shares, or all as numbers"),
    ({"folds": [2]}, r"folds=\[2\]: there are 2, from 0 to 1"),
    ({"epochs": 0}, "epochs=0: a number of at least 1"),
    ({"jobs": 0}, "jobs=0: a number of at least 1"),
    ({"base": ["data.fold=1"]}, r"data\.fold=1: the study sets data\.fold itself; set folds="),
    ({"base": ["data.batch_size=0"]}, r"data\.batch_size=0: a whole number of at least 1"),
    ({"base_pretrain": ["data.batch_size=many"]}, r"data\.batch_size=many: a whole number of at least 1"),
    ({"level": 2}, "level=2"),
    ({"n_draws": 5}, "n_draws=5"),
    ({"judge_by": "auroc_makro"}, r"auroc_makro is no metric \(did you mean auroc_macro\?\)"),
    ({"endpoint": "auroc_makro"}, r"auroc_makro is no metric \(did you mean auroc_macro\?\)"),
    ({"judge_by": "calibration_slope/mel"}, "calibration_slope/mel is no metric|has no better direction"),
    ({"margin": 0.02}, "margin=0.02 needs the metric in whose units it is: set endpoint="),
    ({"hypothesis": "equivalence"}, "hypothesis=equivalence needs a margin"),
    ({"arms": ["A", "E"], "budgets": [1.0]}, "arms: E .* needs a pool, and ham10000 has none"),
    ({"arms": ["D"], "budgets": [1.0]}, "arms: D .* needs a pool"),
    ({"output": None}, "output= is missing"),
]


@pytest.mark.parametrize(("more", "words"), MISTAKES)
def test_mistakes_are_told_before_anything_is_started(settings, invocation, fake, tmp_path, more, words):
    with pytest.raises(UserError, match=words) as refused:
        study(settings(tmp_path / "o").updated(more), invocation)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "o").exists()
    assert not fake.started


def test_an_output_that_is_a_file_is_told(settings, invocation, tmp_path):
    (tmp_path / "o").touch()
    with pytest.raises(UserError, match=r"o is a file; name a folder"):
        study(settings(tmp_path / "o"), invocation)


def test_one_more_arm_is_a_few_lines(settings, invocation, rows):
    recipes = settings(Path("o")).dump()["recipes"] | {"H": {"title": "layer decay", "train": ["finetune=layer_decay"]}}
    config = settings(Path("o"), arms=["A", "H"], recipes=recipes)
    check_overrides(config, invocation)
    plan = make_plan(config, invocation, rows, Path("/o/runs"))
    assert "finetune=layer_decay" in plan.jobs["H_b1_f0_s0"].overrides


def test_the_command_reports_a_mistake_in_one_line(run, phantom):
    done = run("study", "data=ham10000", f"data.root={phantom}", "output=o", "arms=A,Q")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert done.stderr.startswith("error: arms: Q is none of A, A+")


@pytest.mark.parametrize(
    ("recipe", "frozen", "decay"), [("full", 0, 1), ("linear_probe", 7, 1), ("lp_ft", 3, 1), ("layer_decay", 0, 0.75)]
)
def test_recipes_of_fine_tuning(compose_train, recipe, frozen, decay):
    config = compose_train(f"finetune={recipe}", "trainer.max_epochs=7").dump()
    assert (config["model"]["freeze_epochs"], config["optimizer"]["layer_decay"]) == (frozen, decay)
