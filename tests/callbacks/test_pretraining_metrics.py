"""The metrics of pretraining epochs in checkpoints."""

from skinlab.callbacks.pretraining_metrics import PretrainingMetrics


def test_checkpoints_of_earlier_versions_are_continued():
    callback = PretrainingMetrics()
    assert callback.state_key == "EpochFigures"
    state = {"images": 8, "seconds": 2.0, "figures": {"train/loss": 0.5, "epoch": 0.0}}
    callback.load_state_dict(state)
    assert callback.state_dict() == {"images": 8, "seconds": 2.0, "metrics": state["figures"]}
    callback.load_state_dict(callback.state_dict())
