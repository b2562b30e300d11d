import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from skinlab.evaluation.predictions import predictions_table
from skinlab.tracking.wandb_media import precision_at_recall, worst_mistakes

CLASSES = ["bcc", "mel", "nv"]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    labels = rng.choice(["mel", "nv"], 200)  # bcc has no rows
    frame = pd.DataFrame({"image_id": [f"{i:03}" for i in range(200)], "label": labels, "group": "", "source": ""})
    frame["fold"], frame["split"], frame["path"] = -1, "test", "/a.jpg"
    return predictions_table(frame, rng.dirichlet([1, 1, 1], 200), CLASSES)


def test_a_class_without_rows_shifts_no_column(table):
    scores = table[[f"prob_{name}" for name in CLASSES]].to_numpy()
    target = table["label"].map(CLASSES.index).to_numpy()
    curves = precision_at_recall(scores, target, CLASSES)
    assert curves["class"].unique().tolist() == ["mel", "nv"]
    for i in (1, 2):
        area = curves[curves["class"] == CLASSES[i]]["precision"][1:].mean()
        assert area == pytest.approx(average_precision_score(target == i, scores[:, i]), abs=0.01)


def test_worst_mistakes_come_first_and_hits_never(table):
    mistakes = worst_mistakes(table, 10)
    assert len(mistakes) == 10
    assert (mistakes["label"] != mistakes["predicted"]).all()
    assert mistakes["prob_predicted"].is_monotonic_decreasing
    everyone = worst_mistakes(table, 1000)
    assert everyone["prob_predicted"].iloc[0] == mistakes["prob_predicted"].iloc[0]
    assert set(everyone["predicted"]) == {"bcc", "mel", "nv"}
