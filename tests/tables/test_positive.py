"""The positive one of two classes by their names, in any order, or by a setting."""

import numpy as np
import pandas as pd
import pytest

from skinlab.data.manifest import build_manifest
from skinlab.data.preparation import prepare
from skinlab.errors import UserError
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import Predictions
from skinlab.tables.positive import known_positive, positive_class

KNOWN = [  # negative, positive
    *(("other", "mel"), ("nevus", "melanoma"), ("NV", "Melanoma"), ("benign", "malignant"), ("0", "1"), ("no", "yes")),
    *(("bkl", "mel"), ("nv", "X"), ("X", "cancer"), ("Non-Melanoma", "melanoma"), ("false", "TRUE"), ("-1", "1")),
    *(
        ("control", "case"),
        ("seborrheic_keratosis", "basal cell carcinoma"),
        ("not malignant", "Y"),
        ("all others", "Z"),
    ),
]
UNKNOWN = [("A", "B"), ("mel", "bcc"), ("nv", "bkl"), ("1", "2"), ("ruler", "plain")]


@pytest.mark.parametrize(("negative", "positive"), KNOWN)
def test_well_known_names_decide_in_any_order(negative, positive):
    assert positive_class([negative, positive]) == positive_class([positive, negative]) == positive
    assert positive_class([negative, positive], [negative]) == negative


@pytest.mark.parametrize("pair", UNKNOWN)
def test_an_unknown_positive_class_is_refused_with_both_classes_and_the_remedy(pair):
    assert known_positive(pair) is None
    with pytest.raises(
        UserError, match=rf"{pair[0]} and {pair[1]} .*'data.positive=\[{pair[0]}\]' or .*\[{pair[1]}\]'"
    ):
        positive_class(pair, setting="data.positive")
    with pytest.raises(UserError, match="positive=A,B: name one of the two classes"):
        positive_class(["A", "B"], ["A", "B"])


def data(labels, **settings):
    rows = [{"image_id": f"{i:02d}", "path": "/nowhere.png", "label": labels[i % 2]} for i in range(40)]
    return prepare(lambda: build_manifest(pd.DataFrame(rows)), num_workers=0, **settings)


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (("A", "B"), {}, r"set 'data.positive=\[A\]' or 'data.positive=\[B\]'"),
        (("mel", "nv"), {"classes": ["mel", "nv"]}, r"write 'data.classes=\[nv,mel\]', or name it: data.positive=mel"),
        (("A", "B"), {"positive": ["C"]}, "positive=C: name one of the two classes A, B"),
    ],
)
def test_training_is_refused_before_any_image_is_read(labels, settings, message):
    with pytest.raises(UserError, match=message):
        data(labels, **settings)


@pytest.mark.parametrize(
    ("labels", "settings", "classes", "positive"),
    [
        (("mel", "other"), {}, ["other", "mel"], "mel"),
        (("mel", "other"), {"positive": ["other"]}, ["mel", "other"], "other"),
        (("A", "B"), {"positive": ["A"]}, ["B", "A"], "A"),
        (("A", "B"), {"classes": ["B", "A"]}, ["B", "A"], "A"),
        (("mel", "nv"), {"classes": ["mel", "nv"], "positive": ["mel"]}, ["mel", "nv"], "mel"),
        (("A", "B"), {"unlabeled_ok": True}, ["A", "B"], None),
    ],
)
def test_the_positive_class_is_last_unless_classes_sets_the_order(monkeypatch, labels, settings, classes, positive):
    monkeypatch.setattr("skinlab.data.preparation.audit", lambda manifest, **_: Audited(manifest))
    found = data(labels, **settings)
    assert (found.classes, found.positive) == (classes, positive)


class Audited:
    """An audit that found nothing."""

    def __init__(self, manifest):
        self.manifest, self.report = manifest, {}
        self.digests, self.tails = np.zeros((len(manifest), 2), np.uint64), np.zeros(len(manifest), np.uint64)
        self.copies = np.zeros(0)


def test_metrics_are_of_the_positive_class_in_either_order_of_the_columns():
    p = np.random.default_rng(0).uniform(size=40)
    target = np.arange(40) % 4 == 0
    arrays = {key: np.arange(40) for key in ("image_id", "group", "source", "fold")}
    first = Predictions(["mel", "other"], np.stack([p, 1 - p], 1), (~target).astype(np.int64), **arrays)
    last = first.positive_last("mel")
    assert last.classes == ["other", "mel"]
    assert last.target.tolist() == target.astype(int).tolist()
    by_name = classification_metrics(first.probabilities, first.target, first.classes, "mel")
    by_order = classification_metrics(last.probabilities, last.target, last.classes)
    for name in ("sensitivity", "specificity", "ppv", "npv", "f1_positive", "pr_auc_positive"):
        assert by_name[name] == by_order[name]
    assert by_name["sensitivity"] == ((p >= 0.5) & target).sum() / target.sum()
