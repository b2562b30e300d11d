"""What a pretraining prints at its end."""

from skinlab.runs.pretraining_outcome import print_outcome

METRICS = {"best/epoch": 0, "best/mode": "max", "best/monitor": 0.5, "monitor": "probe/knn_balanced_accuracy"}
METRICS |= {
    "best/probe/knn_balanced_accuracy": 0.5,
    "best/probe/linear_balanced_accuracy": 0.6,
    "init_used": "imagenet",
}
METRICS |= {"start/probe/knn_balanced_accuracy": 0.4, "start/probe/linear_balanced_accuracy": 0.5}
METRICS |= {"images": 9, "images_seen": 9, "images_per_second": 3.0, "max_epochs": 1}


def test_a_probe_that_the_initial_weights_do_better_in_is_named(tmp_path, capsys):
    print_outcome(METRICS, tmp_path)
    printed = capsys.readouterr().out
    assert "best epoch 1 of 1, by probe/knn_balanced_accuracy (highest), from imagenet weights" in printed
    assert "no better" not in printed
    assert printed.endswith(f"data.image_size=: python -m skinlab.train model.init={tmp_path} finetune=lp_ft\n")
    print_outcome(METRICS | {"start/probe/linear_balanced_accuracy": 0.6}, tmp_path)
    printed = capsys.readouterr().out
    assert "! by probe/linear_balanced_accuracy the features are no better than those of the weights that it" in printed
