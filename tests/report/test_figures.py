import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import predictions_table, table_arrays
from skinlab.report.figures import class_colours, run_figure
from skinlab.report.run_files import learning_curves, scored_predictions
from tests import run_directory


def write_run(run_dir, classes, n=60, splits=("val", "test"), used=None):
    """Write the files of a run; only the first ``used`` classes have rows."""
    rng = np.random.default_rng(0)
    metrics, tables = {"loss": "ce", "init_used": "random", "best/epoch": 1}, {}
    for split in splits:
        labels = np.array(classes)[rng.integers(used or len(classes), size=n)]
        rows = pd.DataFrame({"image_id": [f"{i}" for i in range(n)], "label": labels, "group": "", "source": ""})
        table = predictions_table(rows.assign(fold=-1, split=split), rng.dirichlet(np.ones(len(classes)), n), classes)
        tables[split] = table
        metrics |= {f"{split}/{name}": v for name, v in classification_metrics(*table_arrays(table)).items()}
    metrics = {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in metrics.items()}
    return run_directory.write_run(run_dir, config=None, metrics=metrics, **tables)


def write_curves(run_dir, epochs):
    (run_dir / "csv").mkdir()
    rows = ["epoch,step,val/loss,val/balanced_accuracy,train/loss"]
    for epoch in range(epochs):
        rows += [f"{epoch},{epoch},0.5,0.6,", f"{epoch},{epoch},,,0.7", f",{epoch},,,"]
    (run_dir / "csv" / "metrics.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("classes", "epochs"),
    [(["benign", "malignant"], 3), (["a$x$", "NA", "c_{"], 1), ([f"class {i}" for i in range(14)], 40)],
)
def test_any_number_of_classes_and_epochs_is_drawn(tmp_path, classes, epochs):
    run_dir = write_run(tmp_path / "run", classes)
    write_curves(run_dir, epochs)
    path = run_figure(run_dir)
    assert Image.open(path).size == (2000, 1760)
    assert {each.name for each in run_dir.iterdir()} == {"metrics.json", "predictions", "csv", "figures.png"}


def test_without_csv_or_test_part_or_rows_of_a_class(tmp_path):
    run_dir = write_run(tmp_path, ["a", "b", "c"], splits=["val"], used=2)
    assert run_figure(run_dir).is_file()
    assert scored_predictions(run_dir, {"test/accuracy": 0.5})[0] == "val"


def test_labels_stay_what_they_are(tmp_path):
    run_dir = write_run(tmp_path, ["1", "NA"])
    _, table = scored_predictions(run_dir, {})
    assert set(table["label"]) == {"1", "NA"}
    assert table_arrays(table)[1].min() == 0


def test_curves_have_a_row_an_epoch(tmp_path):
    write_curves(tmp_path, 3)
    curves = learning_curves(tmp_path)
    assert curves.index.tolist() == [0, 1, 2]
    assert curves["train/loss"].tolist() == [0.7, 0.7, 0.7]
    assert learning_curves(tmp_path / "nowhere").empty


def test_each_colour_is_used_once():
    colours = class_colours(np.arange(30) % 10, 10)
    assert len(set(colours.values())) == len(colours) == 7
