"""What a strategy takes the pool's class shares to be."""

from types import SimpleNamespace

import pandas as pd
import pytest

from skinlab.errors import UserError
from skinlab.runs.parts import build_datamodule
from skinlab.runs.semisupervision import build_strategy, default_prior

ROWS = {"label": ["a", "a", "a", "b", "b"], "answered": [False, False, False, False, True]}


def datamodule(rows: dict[str, list]) -> SimpleNamespace:
    return SimpleNamespace(rows=lambda _: pd.DataFrame(rows), prepared=SimpleNamespace(classes=["a", "b"]))


def test_the_prior_counts_labels_but_no_answers():
    assert default_prior(datamodule(ROWS)) == [3, 1]
    assert default_prior(datamodule({"label": ROWS["label"]})) == [3, 2]
    assert default_prior(datamodule(ROWS | {"answered": [False] * 5})) == [3, 2]


def test_a_class_of_answers_alone_asks_for_a_prior():
    with pytest.raises(UserError, match=r"no training image of b was labelled except by data\.labels") as message:
        default_prior(datamodule(ROWS | {"answered": [False] * 3 + [True] * 2}))
    assert len(str(message.value).splitlines()) == 1


def test_mined_answers_train_and_leave_the_prior_alone(compose_train, tiny, tmp_path):
    overrides = [*tiny, "semi=fixmatch", "semi.pool_ratio=1", "data.label_budget=0.3", "data.batch_size=8"]
    overrides += ["model=timm", "model.name=test_resnet"]
    before = build_datamodule(compose_train(*overrides))
    pool = before.rows("pool")
    mined = pool[pool["hidden_label"] == "malignant"].head(9)
    mined.assign(label=mined["hidden_label"])[["image_id", "label"]].to_csv(tmp_path / "labels.csv", index=False)
    settings = compose_train(*overrides, f"data.labels={tmp_path / 'labels.csv'}")
    after = build_datamodule(settings)
    n = len(mined)
    assert after.class_counts() == [before.class_counts()[0], before.class_counts()[1] + n]
    assert default_prior(after) == before.class_counts() == default_prior(before)
    counts = before.class_counts()
    prior = build_strategy(settings.semi, after).align.prior
    assert prior.tolist() == pytest.approx([count / sum(counts) for count in counts])
