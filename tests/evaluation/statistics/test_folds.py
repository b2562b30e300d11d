import numpy as np

from skinlab.evaluation.statistics.folds import group_folds


def test_folds_keep_groups_whole_spread_classes_and_ignore_the_order_of_rows():
    rng = np.random.default_rng(0)
    groups, target = rng.integers(200, size=400).astype(str), (rng.random(400) < 0.1).astype(int)
    folds = group_folds(groups, target, 5, seed=3)
    assert all(len(set(folds[groups == g])) == 1 for g in np.unique(groups))
    rare = [len(np.unique(groups[(folds == f) & (target == 1)])) for f in range(5)]
    assert max(rare) - min(rare) <= 1
    shuffled = rng.permutation(400)
    assert (group_folds(groups[shuffled], target[shuffled], 5, seed=3) == folds[shuffled]).all()
    assert (group_folds(groups, target, 5, seed=4) != folds).any()
    assert sorted(group_folds(np.array(["a", "b", "c"]), np.zeros(3), 5).tolist()) == [0, 1, 2]
