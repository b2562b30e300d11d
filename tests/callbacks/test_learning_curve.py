"""A training that is killed between the checkpoint of an epoch and the row of its means lacks no row afterwards."""

import pandas as pd
import pytest

from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train
from skinlab.tracking.fault_tolerant_loggers import CsvLogger


class KilledError(Exception):
    """Stands for the end of the process."""


LAST = ("train", 1, ["trainer.max_epochs=2"])
BETWEEN_PROBES = ("pretrain", 2, ["trainer.max_epochs=4", "probe.every_n_epochs=2"])


@pytest.mark.parametrize(("command", "epoch", "more"), [LAST, pytest.param(*BETWEEN_PROBES, marks=pytest.mark.slow)])
def test_the_learning_curve_is_that_of_an_uninterrupted_training(
    command, epoch, more, tiny, compose_train, compose_pretrain, tmp_path, monkeypatch
):
    overrides = [*(word for word in tiny if command == "train" or word != "evidence=off"), *more]
    run, compose = (train, compose_train) if command == "train" else (pretrain, compose_pretrain)
    run(compose(*overrides, run_dir=tmp_path / "whole"))
    write = CsvLogger.log_metrics

    def killed(self, metrics, step=None):
        if "train/loss" in metrics and metrics["epoch"] == epoch:
            raise KilledError
        write(self, metrics, step)

    with monkeypatch.context() as patched:
        patched.setattr(CsvLogger, "log_metrics", killed)
        with pytest.raises(KilledError):
            run(compose(*overrides, run_dir=tmp_path / "killed"))
    run(compose(*overrides, run_dir=tmp_path / "killed"))
    whole, continued = (pd.read_csv(tmp_path / name / "csv" / "metrics.csv") for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(
        *(each.drop(columns="images_per_second", errors="ignore") for each in (whole, continued))
    )
