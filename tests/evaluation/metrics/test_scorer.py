"""The final metrics against scikit-learn, and against torchmetrics in the LightningModule: one definition of each."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from skinlab.evaluation.metrics.scorer import Scorer, classification_metrics
from skinlab.models.epoch_metrics import EpochMetrics, epoch_metric_names


def table(n: int, c: int, seed: int, *, absent: int | None = None, tied: bool = False):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(c), n)
    if tied:
        p = np.round(p * 4) + 0.5
        p /= p.sum(1, keepdims=True)
    p = p.astype(np.float32).astype(np.float64)
    target = rng.choice([i for i in range(c) if i != absent], n)
    return p, target, [f"c{i}" for i in range(c)]


TABLES = {
    "seven": table(300, 7, 0),
    "two": table(200, 2, 1),
    "absent": table(150, 5, 2, absent=3),
    "tied": table(400, 4, 3, tied=True),
    "constant": (np.full((50, 3), 1 / 3), np.arange(50) % 3, ["a", "b", "c"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_agrees_with_scikit_learn(name):
    p, target, classes = TABLES[name]
    got = classification_metrics(p, target, classes)
    predicted, present = p.argmax(1), np.unique(target)
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(target, predicted))
    assert got["balanced_accuracy"] == pytest.approx(
        sk.recall_score(target, predicted, average="macro", labels=present)
    )
    assert got["f1_macro"] == pytest.approx(sk.f1_score(target, predicted, average="macro", labels=present))
    assert got["log_loss"] == pytest.approx(sk.log_loss(target, p, labels=range(len(classes))), rel=1e-6)
    assert got["brier"] == pytest.approx(sk.brier_score_loss(target, p, labels=range(len(classes))), abs=1e-9)
    for i, cls in enumerate(classes):
        if i in present:
            assert got[f"pr_auc/{cls}"] == pytest.approx(sk.average_precision_score(target == i, p[:, i]))
            assert got[f"auroc/{cls}"] == pytest.approx(sk.roc_auc_score(target == i, p[:, i]))
            assert got[f"recall/{cls}"] == pytest.approx((predicted[target == i] == i).mean())
        else:
            assert np.isnan(got[f"pr_auc/{cls}"])
    if len(classes) == 2:
        assert got["f1_positive"] == pytest.approx(sk.f1_score(target, predicted, pos_label=1))
        assert got["specificity"] == pytest.approx(sk.recall_score(target, predicted, pos_label=0))
        assert got["ppv"] == got[f"precision/{classes[1]}"]


def test_brier_score_of_two_classes_is_that_of_the_positive_ones_probability():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    found = classification_metrics(p, np.array([0, 1, 1]), ["benign", "malignant"])
    assert found["brier"] == pytest.approx((0.1**2 + 0.4**2 + 0.7**2) / 3)
    assert classification_metrics(1 - np.eye(2), np.arange(2), ["benign", "malignant"])["brier"] == 1


def test_brier_score_of_three_classes_is_summed_over_them():
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
    found = classification_metrics(p, np.array([0, 2]), ["a", "b", "c"])
    assert found["brier"] == pytest.approx((0.3**2 + 0.2**2 + 0.1**2 + 0.5**2 + 0.3**2 + 0.8**2) / 2)


@pytest.mark.parametrize("name", TABLES)
def test_metrics_of_predicted_classes_agree_with_scikit_learn(name):
    p, target, classes = TABLES[name]
    got, predicted = classification_metrics(p, target, classes), p.argmax(1)
    assert got["mcc"] == pytest.approx(sk.matthews_corrcoef(target, predicted), abs=1e-9)
    for i, cls in enumerate(classes):
        truth, hit = target == i, predicted == i
        for metric, (of, among) in {
            "precision": (truth, hit),
            "npv": (~truth, ~hit),
            "specificity": (~hit, ~truth),
        }.items():
            expected = of[among].mean() if among.any() else np.nan
            assert got[f"{metric}/{cls}"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", TABLES)
def test_integer_weights_are_repeated_rows(name):
    p, target, classes = TABLES[name]
    weights = np.random.default_rng(0).poisson(1.5, (len(p), 3)).astype(float)
    together = Scorer(p, target, classes)(weights)
    for b in range(3):
        rows = np.repeat(np.arange(len(p)), weights[:, b].astype(int))
        alone = classification_metrics(p[rows], target[rows], classes)
        for metric, value in alone.items():
            if not metric.startswith(("calibration", "adaptive")):  # one Newton step, bins of the table as it is
                assert together[metric][b] == pytest.approx(value, abs=1e-9, nan_ok=True), metric


def test_adaptive_bins_hold_equally_many():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 1500)
    target = np.array([rng.choice(3, p=row) for row in p])
    order = np.argsort(p.max(1))
    gaps = [(p.max(1) - (p.argmax(1) == target))[part].sum() for part in np.array_split(order, 15)]
    expected = np.abs(gaps).sum() / 1500
    assert classification_metrics(p, target, list("abc"))["adaptive_ece"] == pytest.approx(expected, abs=0.003)
    assert expected < 0.05  # these probabilities are right by construction


@pytest.mark.parametrize(("name", "positive"), [*((name, None) for name in TABLES), ("two", 0)])
def test_the_module_s_metrics_are_the_same(name, positive):
    p, target, classes = TABLES[name]
    positive = None if positive is None else classes[positive]
    final = classification_metrics(p, target, classes, positive)
    epoch = EpochMetrics(classes, positive)
    for rows in np.array_split(np.arange(len(p)), 3):
        epoch.update(torch.tensor(p[rows], dtype=torch.float64), torch.tensor(target[rows]), torch.zeros(()))
    metrics = epoch.compute()
    assert list(metrics) == epoch_metric_names(classes)
    for key, value in metrics.items():
        if key != "loss":
            assert float(value) == pytest.approx(final[key], abs=2e-6, nan_ok=True), key


def test_absent_class_does_not_punish():
    p, target, classes = TABLES["absent"]
    kept = [i for i in range(5) if i != 3]
    with_it, without = classification_metrics(p, target, classes), None
    renumbered = np.array([kept.index(t) for t in target])
    without = classification_metrics(p[:, kept], renumbered, [classes[i] for i in kept])
    assert with_it["pr_auc_macro"] == pytest.approx(without["pr_auc_macro"])
    assert with_it["auroc_macro"] == pytest.approx(without["auroc_macro"])


def test_one_class_alone_has_no_ranking():
    got = classification_metrics(np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([0, 0]), ["a", "b"])
    assert np.isnan(got["auroc_macro"])
    assert got["balanced_accuracy"] == 1


@pytest.mark.parametrize(("p", "target"), [(np.ones((0, 2)), np.ones(0, int)), (np.ones((3, 2)), np.ones(2, int))])
def test_shapes_that_do_not_agree_are_refused(p, target):
    with pytest.raises(ValueError, match="rows"):
        classification_metrics(p, target, ["a", "b"])
