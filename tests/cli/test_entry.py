"""The door: one plain line and exit code 2 for a mistake, and no torch before the config is good."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from skinlab.cli.config import explain, refuse_bases
from skinlab.errors import UserError

MISTAKES = [
    (["loss=fokal"], "loss=fokal: no such choice (did you mean focal?)"),
    (["model=efnet_b3"], "(did you mean effnet_b3?)"),
    (["sampler=balanced"], "no such choice (did you mean weighted, which is balanced sampling?)"),
    (["loss=cross_entropy", "sampler=balanced"], "loss=cross_entropy: no such choice"),
    (["loss=cross_entropy", "sampler=balanced"], "sampler=balanced: no such choice"),
    (["loss=cross-entropy"], "loss=cross-entropy: no such choice (did you mean ce?)"),
    (["data=ham1000"], "(did you mean ham10000?)"),
    (["trainer.max_epoch=3"], "(did you mean trainer.max_epochs?)"),
    (["data.rot=x", "sed=1"], "data.rot: the config has no such key (did you mean data.root?)"),
    (["data.rot=x", "sed=1"], "sed: the config has no such key (did you mean seed?)"),
    (["loss.gama=1"], "loss.gama: the config has no such key; gamma belongs to loss=class_balanced, loss=focal"),
    (["lr=1e-3"], "(did you mean optimizer.lr?)"),
    (["gamma=1"], "gamma belongs to loss=class_balanced, loss=focal"),
    (["epochs=3"], "(did you mean trainer.max_epochs?)"),
    (["output=DIR"], "(did you mean hydra.run.dir?)"),
    (["data.folds=3"], "data.folds: the config has no such key (did you mean data.n_folds or data.fold?)"),
    (["ssl=simclr"], "ssl: the config has no such key; it belongs to skinlab.pretrain"),
    (["loss=ce,focal"], "loss=ce,focal: several values; add -m to run them in turn"),
    (["sweep=folds", "seed=1"], "sweep=folds runs several jobs: add -m, or set one data.fold"),
    (["--model", "resnet18"], "--model: unknown flag; settings are written without dashes: model=resnet18"),
    (["--epochs", "2"], "--epochs: unknown flag; settings are written without dashes: trainer.max_epochs=2"),
    (["--lr=1e-3"], "settings are written without dashes: optimizer.lr=1e-3"),
    (["--model=resnet18"], "settings are written without dashes: model=resnet18"),
    (["callbacks.monitor=val/auroc"], "val/auroc: no such metric (did you mean val/auroc_macro?)"),
    (["callbacks.monitor=auroc_macro"], "(did you mean val/auroc_macro?)"),
    (["data=table", "data.root=/tmp", "data.table=nowhere.csv"], "data.table=nowhere.csv: no such file"),
    (["data=table", "data.root=/", "data.table=tmp"], "data.table=tmp: no such file, nor below data.root=/"),
    (["resume=nowhere.ckpt"], "resume=nowhere.ckpt: no such file; give auto, never or a checkpoint"),
    (["callbacks.monitor=val/f1_mel"], "val/f1_mel: no such metric (did you mean val/f1/mel?)"),
    (["callbacks.monitor=val/pr_auk/mel"], "val/pr_auk/mel: no such metric (did you mean val/pr_auc/mel?)"),
    (
        ["data=table"],
        "data.table is not set: The CSV, absolute or below the current folder or data.root, as in data.table=",
    ),
    (["data=table", "data.root=/nowhere/at/all"], "; data.root=/nowhere/at/all is not a folder: set data.root=DIR"),
    (["data=default"], "data=default: no such choice; there are dsm2025, folder"),
    (["-m", "trainer=cpu,default"], "trainer=default: no such choice; there are auto, cpu, ddp, fsdp, gpu"),
    (["model=timm"], "model.name is not set: Name of a timm model, or hf-hub:OWNER/NAME, as in model.name=resnet26"),
    (
        ["data=table", "data.table=a.csv", "seed=???"],
        "seed is not set; set seed=VALUE",
    ),
    (["model.init=/nowhere/best.ckpt"], "model.init=/nowhere/best.ckpt: no such file"),
    (["trainer.max_epochs=ten"], "a whole number is expected"),
    (["trainer.max_epochs=1.5"], "a whole number is expected"),
    (["callbacks.progress=perhaps"], "true or false is expected"),
    (["loss._target_=os.system"], "outside the allowed packages"),
    (["data=folder"], "data.root"),
    (["trainer.max_epochs="], "trainer.max_epochs"),
    (["evidence.thresholds=[p"], "the shell took what follows > as the name of a file; put quotes around the rule"),
    (["data.root=“My patients”"], "write 'data.root=\"My patients\"'"),
    (["data.root=[1"], "data.root=[1: not an override; write key=value, and values with spaces or brackets as"),
    (
        ["data.root=My pictures (1)"],
        """data.root=My pictures (1): not an override; write 'data.root="My pictures (1)"'""",
    ),
    (
        ["seed=1", "data.root=My", "patients/PH2", "by", "class"],
        "error: patients/PH2 by class: not of the form key=value; leave it out, or put quotes around a value with "
        "blanks: 'data.root=My patients/PH2 by class'",
    ),
    (
        ["loss=focal", "now", "seed=1"],
        "error: now: not of the form key=value; leave it out, or put quotes around a value with blanks: "
        "'loss=focal now'",
    ),
    (
        ["data=ham10000", "data.root=/nowhere/at/all"],
        "/nowhere/at/all is not a folder: set data.root to the folder of ham",
    ),
    (["data=ham10000", "data.root=/nowhere/at/all"], "get the data there: skinlab fetch data=ham10000"),
    (
        ["data=folder", "data.root=/nowhere/at/all"],
        "/nowhere/at/all is not a folder: set data.root=DIR, the folder that holds the images",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), MISTAKES)
def test_a_mistake_is_reported_in_one_line(run, tmp_path, overrides, message):
    done = run("train", *overrides)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not list(tmp_path.rglob("*.*")), "nothing may be left behind"


@pytest.mark.parametrize(
    ("command", "word", "remedy"),
    [
        ("submit", "predictions=A,B", "add -m to run them in turn, or give one"),
        ("train", "logger=csv,wandb", "or write logger=[...] for a list"),
        ("train", "data.classes=mel,nv", "or write data.classes=[...] for a list"),
    ],
)
def test_a_list_is_advised_where_one_is_taken(command, word, remedy):
    assert f"{word}: several values; " in (line := explain(ConfigCompositionException("x"), command, [word]))
    assert line.endswith(remedy)


def test_verbose_shows_the_traceback(run):
    done = run("train", "-v", "data=ham10000", "data.root=/nowhere/at/all")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        *(
            ("train", overrides)
            for overrides in (
                ["--cfg", "job"],
                ["loss=fokal"],
                ["trainer.max_epoch=3"],
                ["data=ham10000", "data.root=/nowhere"],
                ["model.init=/nowhere/best.ckpt"],
                ["data=table"],
            )
        ),
        ("pretrain", ["ssl=simclrr"]),
        ("predict", ["ckpt=/nowhere", "input=/tmp", "output=/tmp/nowhere.csv"]),
        ("evaluate", ["predictions=/nowhere", "output=nowhere"]),
        ("ensemble", ["runs=/nowhere,/nowhere2", "output=nowhere"]),
    ],
)
def test_torch_waits(command, overrides):
    """Torch must not be imported before the config is known to be good."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{command!r}, *{overrides!r}]\n"
        f"try:\n    runpy.run_module('skinlab.{command}', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'cv2' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().splitlines()[-1] == "False False False"


@pytest.mark.parametrize("command", ["train", "pretrain", "predict", "audit"])
def test_help_names_the_command(run, command):
    assert run(command, "--help").stdout.startswith(f"python -m skinlab.{command}: ")


def test_a_monitor_is_checked_before_torch_is_imported():
    from skinlab.cli.config import compose_settings
    from skinlab.cli.early_checks import check_early
    from skinlab.errors import UserError

    check_early("train", compose_settings("train", ["callbacks.monitor=val/pr_auc_macro"]))
    check_early("train", compose_settings("train", ["callbacks.monitor=val/f1_positive"]))
    check_early("train", compose_settings("train", ["callbacks.monitor=val/pr_auc/mel"]))
    check_early("train", compose_settings("train", ["callbacks.monitor=val/recall/mel"]))
    with pytest.raises(UserError, match=r"no such metric \(did you mean val/auroc_macro\?\)"):
        check_early("train", compose_settings("train", ["callbacks.monitor=val/auroc"]))


OUTPUTS = {"predict": "out.csv", "bundle": "out.bundle", "evaluate": "out"}


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("predict", "threshold=best"),
        ("bundle", "thresholds=[f1,best]"),
        ("evaluate", "thresholds=[best]"),
    ],
)
def test_a_rule_for_thresholds_is_checked_before_anything_is_read(phantom, tmp_path, command, word):
    """The paths lead to something that is no run."""
    from skinlab.cli.config import compose_settings
    from skinlab.cli.early_checks import check_early

    place = "predictions" if command == "evaluate" else "ckpt"
    words = [f"{place}={phantom}", f"output={tmp_path / OUTPUTS[command]}", word]
    words += [f"input={phantom}"] if command == "predict" else []
    with pytest.raises(UserError) as error:
        check_early(command, compose_settings(command, words))
    name = word.partition("=")[0]
    assert f"{name}=best: threshold rule 'best' is unknown: use f1, cost, sensitivity>=S" in str(error.value)


@pytest.mark.parametrize(
    ("command", "word", "line"),
    [
        ("train", "evidence.thresholds=[f1,best]", "evidence.thresholds=best: threshold rule 'best' is unknown"),
        ("train", "evidence.thresholds=['sensitivity>=1.5']", "threshold rule 'sensitivity>=1.5' is unknown"),
        ("train", "evidence.decide=priro", "evidence.decide=priro: use argmax, prior:auto"),
        ("train", "evidence.endpoint=auroc_makro", r"evidence.endpoint=auroc_makro is no metric .*auroc_macro"),
        ("tta", "thresholds=['specificity>=2']", "thresholds=specificity>=2: threshold rule"),
        ("ensemble", "decide=prior:2", "decide=prior:2: use argmax"),
        ("ensemble", "compare_by=[auroc_makro]", "compare_by=auroc_makro is no metric"),
        ("study", "thresholds=[best]", "thresholds=best: threshold rule"),
        ("study", "judge_by=auroc_makro", "judge_by=auroc_makro is no metric"),
    ],
)
def test_a_rule_of_the_evaluation_is_checked_before_anything_is_read(phantom, tmp_path, command, word, line):
    from skinlab.cli.config import compose_settings
    from skinlab.cli.early_checks import check_early

    words = {
        "train": ["data=phantom"],
        "tta": [f"ckpt={phantom}", f"output={tmp_path / 'out'}"],
        "ensemble": [f"runs=[{phantom}]", f"output={tmp_path / 'out'}"],
        "study": ["data=phantom", f"output={tmp_path / 'out'}"],
    }
    with pytest.raises(UserError, match=line):
        check_early(command, compose_settings(command, [*words[command], word]))


def test_a_finished_run_needs_no_data(tmp_path):
    from skinlab.cli.config import compose_settings
    from skinlab.cli.early_checks import check_early
    from skinlab.errors import UserError

    overrides = ["data=ham10000", "data.root=/nowhere"]
    with pytest.raises(UserError, match="is not a folder"):
        check_early("train", compose_settings("train", overrides, tmp_path))
    (tmp_path / "metrics.json").write_text("{}")
    check_early("train", compose_settings("train", overrides, tmp_path))


@pytest.mark.parametrize(
    ("command", "setting"),
    [("evaluate", "predictions"), ("ensemble", "runs"), ("bundle", "ckpt"), ("tta", "ckpt"), ("predict", "ckpt")],
)
def test_a_run_without_predictions_is_refused_with_the_command_that_goes_on(tmp_path, command, setting):
    from skinlab.cli.config import compose_settings
    from skinlab.cli.early_checks import check_early
    from skinlab.errors import UserError

    needed = ["output=o.bundle"] if command == "bundle" else ["output=o"]
    needed = ["input=/tmp", "output=o.csv"] if command == "predict" else needed
    settings = compose_settings(command, [f"{setting}={tmp_path}", *needed])
    check_early(command, settings)
    (tmp_path / "config.yaml").write_text("run_id: a\nloss: {}\n")
    with pytest.raises(UserError, match="stopped before its first checkpoint; start it again by the command that"):
        check_early(command, settings)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(UserError, match=rf"not finished; to go on: python -m skinlab.train hydra.run.dir={tmp_path}\Z"):
        check_early(command, settings)
    (tmp_path / "metrics.json").write_text("{}")
    check_early(command, settings)
    (tmp_path / "config.yaml").write_text("run_id: a\nssl: {}\n")
    with pytest.raises(UserError, match=rf"no classes; fine-tune it: .*model.init={tmp_path} finetune=lp_ft"):
        check_early(command, settings)


def test_config_directory_is_the_checkout_s():
    from skinlab.cli.conf import config_directory

    assert (config_directory() / "train.yaml").is_file()
    assert config_directory() == Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("rule", ["sensitivity>=0.85", "'specificity>=0.85'"])
def test_threshold_rules_need_no_quotes_of_hydra_s(run, rule):
    done = run("evaluate", f"thresholds=[f1,{rule}]", "--cfg", "job")
    assert f"- {rule.strip(chr(39))}\n" in done.stdout, done.stderr


def test_default_is_a_choice_where_the_command_itself_takes_it():
    refuse_bases("train", ["callbacks=default", "evidence=default", "data.source=default"])
    with pytest.raises(UserError, match="augment=default: no such choice; there are artefacts"):
        refuse_bases("train", ["augment=default", "callbacks=default"])
