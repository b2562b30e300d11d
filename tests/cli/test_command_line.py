"""The command line before Hydra: flags anywhere, no foreign configs or code, no secrets."""

import pytest
from hydra._internal.hydra import Hydra

from skinlab.cli.command_line import composing_once, prepare_command_line
from skinlab.errors import UserError
from skinlab.settings.secrets import masked

WANDB_KEY = "0123456789abcdef0123456789abcdef01234567"
SECRETS = [
    WANDB_KEY,
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
    "wandb_v1_AbCdEf0123456789AbCdEf0123456789",
    "sk-proj-0123456789abcdefABCDEF",
    "AKIAIOSFODNN7EXAMPLE",
    "dGhpcyBpcyBhIHNlY3JldCB2YWx1ZSBvZiA0OCBieXRlcyE0NTY3ODkw",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.SflKxwRJSMeKKF2QT4",
]
HARMLESS = [
    "data.root=/data/blobs/0123456789abcdef0123456789abcdef01234567",
    "logger.wandb.name=EffnetB3_focal_HAM10000_2024_seed42_fold3_Final_version2",
    "ckpt=runs/2024-05-17_10-11-12_ham10000_effnet_b3_focal/checkpoints/best.ckpt",
    "logger.wandb.tags=[token-free,keys,secretary]",
    "data.label_budget=0.2",
    "data.columns={path: file, label: dx}",
]


@pytest.mark.parametrize("words", [["a=1", "-m", "b=1,2"], ["-m", "a=1", "b=1,2"], ["a=1", "b=1,2", "--multirun"]])
def test_flags_may_stand_anywhere(words):
    prepared = prepare_command_line(words)
    assert prepared[0] in ("-m", "--multirun")
    assert prepared[1:] == ["a=1", "b=1,2"]


def test_the_value_of_a_flag_stays_with_it():
    assert prepare_command_line(["a=1", "--cfg", "job", "b=1", "--resolve"]) == [
        "--cfg",
        "job",
        "--resolve",
        "a=1",
        "b=1",
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--config-dir=/x"], "--config-dir=/x"),
        (["seed=1", "-cd", "/x"], "--config-dir=/x"),
        (["--config-d", "/x"], "--config-dir=/x"),
        (["-cp", "/x"], "--config-path=/x"),
        (["--config-name=x"], "--config-name=x"),
        (["--experimental-rerun", "/x"], "--experimental-rerun=/x"),
        (["--nosuch"], "--nosuch: unknown flag"),
        (["--cfg"], "--cfg"),
        (["hydra.searchpath=[file:///x]"], "hydra.searchpath"),
        (["+hydra.callbacks.a={_target_:os.mkdir}"], "hydra.callbacks"),
        (["hydra={callbacks:{a:{_target_:os.mkdir}}}"], "hydra="),
        (["hydra.job.env_set.LD_PRELOAD=/x"], "hydra.job.env_set"),
        (["hydra.launcher._target_=os.mkdir"], "hydra.launcher._target_"),
        (["hydra.sweeper={_target_:os.mkdir}"], "hydra.sweeper"),
        (["+hydra.sweeper.sampler={_target_:os.mkdir}"], "hydra.sweeper.sampler"),
        (["hydra.job_logging.handlers.a.class=os.mkdir"], "hydra.job_logging"),
        (["+loss@hydra.callbacks.a=ce"], "loss@hydra.callbacks.a"),
        (["experiment=../../../tmp/foreign"], "experiment="),
        (["logger=[csv,../../x]"], "logger="),
    ],
)
def test_foreign_configs_and_code_are_refused(words, named):
    with pytest.raises(UserError, match=r"flag|own conf|leave this out|expected") as refused:
        prepare_command_line(words)
    assert named in str(refused.value)


@pytest.mark.parametrize("word", ["data.root=~/x", "hydra.run.dir=~/x", "runs=[~/a,'~/b c']", "a=b~/c", "~a"])
def test_the_home_folder_is_expanded_in_paths(word, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (prepared,) = prepare_command_line([word])
    assert prepared == (word if word in ("a=b~/c", "~a") else word.replace("~/", "/home/me/"))


@pytest.mark.parametrize(
    "word",
    ["hydra.run.dir=/x/../y", "hydra.sweep.subdir=a", "hydra/launcher=submitit_slurm", "hydra.sweeper.n_trials=5"],
)
def test_settings_of_hydra_that_the_project_uses_stay(word):
    assert prepare_command_line([word]) == [word]


@pytest.mark.parametrize(
    "word",
    [
        "+logger.wandb.api_key=abc",
        "logger.wandb.token=abc",
        "+logger.wandb={project: a, api_key: abc}",
        "+data.password=abc",
        "+WANDB_API_KEY=abc",
        "++data.aws_secret_access_key=abc",
    ],
)
def test_secrets_are_no_settings(word):
    with pytest.raises(UserError, match="WANDB_API_KEY") as refused:
        prepare_command_line([word])
    assert "abc" not in str(refused.value)
    assert masked(str(refused.value)) == str(refused.value), "the message itself is no secret"


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_masked(capsys, secret):
    assert masked({"a": [f"x {secret} y"]}) == {"a": ["x *** y"]}
    assert prepare_command_line([f"logger.wandb.name={secret}"]) == ["logger.wandb.name=***"]
    assert "may be a secret" in (told := capsys.readouterr().err)
    assert secret not in told


@pytest.mark.parametrize("word", HARMLESS)
def test_what_is_no_secret_stays(word):
    assert prepare_command_line([word]) == [word]
    assert masked(word) == word


def test_a_password_in_an_address_works_but_is_not_recorded():
    word = "hydra.sweeper.storage='mysql://me:pass@host/db'"
    assert prepare_command_line([word]) == [word]
    assert masked(word) == "hydra.sweeper.storage='mysql://***@host/db'"


def test_another_name_of_a_setting_becomes_its_own():
    assert prepare_command_line(["views=none,flips", "ckpt=views"], ["tta"], {"views": "tta"}) == [
        "tta=['none','flips']",
        "ckpt=views",
    ]


def test_the_config_is_composed_for_its_mode_alone_only_where_that_is_set():
    own = Hydra.get_mode
    with composing_once(["loss=focal"]):
        assert Hydra.get_mode(None, "train", []) is None
    with composing_once(["hydra.mode=MULTIRUN", "loss=focal"]):
        assert Hydra.get_mode is own
    assert Hydra.get_mode is own
