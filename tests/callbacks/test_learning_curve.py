"""A training that is killed between the checkpoint of an epoch and the row of its means lacks no row afterwards."""

import pytest

from skinlab.commands.train import train
from skinlab.tracking.fault_tolerant_loggers import CsvLogger


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_learning_curve_is_that_of_an_uninterrupted_training(epoch, tiny, compose_train, tmp_path, monkeypatch):
    overrides = [*tiny, "trainer.max_epochs=2"]
    train(compose_train(*overrides, run_dir=tmp_path / "whole"))
    write = CsvLogger.log_metrics

    def killed(self, metrics, step=None):
        if "train/loss" in metrics and metrics["epoch"] == epoch:
            raise KilledError
        write(self, metrics, step)

    with monkeypatch.context() as patched:
        patched.setattr(CsvLogger, "log_metrics", killed)
        with pytest.raises(KilledError):
            train(compose_train(*overrides, run_dir=tmp_path / "killed"))
    train(compose_train(*overrides, run_dir=tmp_path / "killed"))
    whole, continued = ((tmp_path / name / "csv" / "metrics.csv").read_text() for name in ("whole", "killed"))
    assert whole == continued
