"""An ensemble as a system: what its rules are chosen on."""

import numpy as np
import pytest

from skinlab.assessment.combination import build_ensemble, single_members
from skinlab.assessment.systems import System
from skinlab.evaluation.ensembles.combination import combine, cross_fit_weights
from skinlab.evaluation.predictions import Predictions


def member(name: str, seed: int, part: str, n: int = 60) -> Predictions:
    target = np.arange(n) % 3
    p = np.random.default_rng(seed).dirichlet(np.ones(3), n) + 0.5 * np.eye(3)[target]
    ids = np.array([f"{part}{i}" for i in range(n)], object)
    groups, empty = np.array([f"{part}{i // 2}" for i in range(n)], object), np.full(n, "", object)
    return Predictions(list("abc"), p / p.sum(1, keepdims=True), target, ids, groups, empty, np.full(n, -1))


def test_rules_of_a_weighted_ensemble_are_chosen_on_images_that_its_weights_were_not_fitted_on():
    sources = [{"path": "", "sha256": "", "split": "test", "rows": 60, "meta": {}}]
    members = [
        System(name, [member(name, seed, "t")], sources, [member(name, seed + 10, "v")])
        for name, seed in (("x", 0), ("y", 1))
    ]
    ensemble, learned = build_ensemble(members, "weighted", seed=0)
    val = [each.selections[0] for each in members]
    p = np.stack([each.probabilities for each in val])
    expected = cross_fit_weights(p, val[0].target, val[0].group, seed=0)
    assert np.array_equal(ensemble.selection.probabilities, expected)
    assert not np.allclose(expected, combine(p, "weighted", np.array(learned["weights"])))
    of_test = np.stack([each.tables[0].probabilities for each in members])
    assert np.allclose(ensemble.tables[0].probabilities, combine(of_test, "weighted", np.array(learned["weights"])))
    assert ensemble.selection_how == "weights cross-fitted"
    assert build_ensemble(members, "mean", seed=0)[0].selection_how == ""


def test_one_system_is_refused_with_the_command_that_predicts_with_it():
    alone = System("ce", [member("x", 0, "v")], [], pooled=True, place="SWEEP")
    with pytest.raises(ValueError, match=r"runs=SWEEP is one system: .* python -m skinlab.predict ckpt=SWEEP input="):
        single_members([alone])
