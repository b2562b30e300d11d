"""From a DSM-2025-shaped directory to a Kaggle file."""

import pandas as pd

from skinlab.commands.predict import predict
from skinlab.commands.train import train
from skinlab.data.readers.phantom import read_phantom
from tests.command_settings import settings_of


def test_from_a_directory_to_a_submission(compose_train, tiny, tmp_path):
    root = tmp_path / "dsm"
    sizes = {"n_positive": 20, "n_negative": 60, "n_unlabeled": 20, "n_test": 12}
    read_phantom(root, layout="dsm2025", image_size=48, num_workers=1, **sizes)
    words = [word for word in tiny if not word.startswith(("data=", "data.root", "data.label_map"))]
    words += ["data=dsm2025", f"data.root={root}", "sampler=weighted", "trainer.max_epochs=1"]
    train(compose_train(*words, run_dir=tmp_path / "run"))
    split = pd.read_csv(tmp_path / "run" / "split.csv", keep_default_na=False)
    kaggle_test = split["image_id"].str.startswith("test/")
    assert set(split.loc[kaggle_test, "split"]) == {"held_out"}
    assert set(split.loc[(split["label"] == "") & ~kaggle_test, "split"]) <= {"pool", ""}

    output = tmp_path / "submission.csv"
    places = {"ckpt": tmp_path / "run", "input": root / "test", "output": output}
    predict(settings_of("predict", **places, format="kaggle", num_workers=0))
    submission = pd.read_csv(output)
    assert list(submission) == ["ID", "label"]
    assert sorted(submission["ID"]) == sorted(f"test/{path.name}" for path in (root / "test").iterdir())
    assert set(submission["label"]) <= {0, 1}
