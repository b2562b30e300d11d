"""Speed of the bootstrap and of the intervals of every metric."""

from __future__ import annotations

from tests.bench.measure import report, seconds


def bench_bootstrap() -> None:
    """Give every metric of HAM10000's size its interval, and compare with a loop over scikit-learn."""
    import numpy as np
    from sklearn import metrics as sk

    from skinlab.evaluation.metrics.scorer import Scorer
    from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap

    n, rng = 10_015, np.random.default_rng(0)
    target = rng.choice(7, n, p=[0.033, 0.051, 0.11, 0.011, 0.111, 0.67, 0.014])
    p = rng.dirichlet(np.full(7, 0.3), n) + 0.3 * np.eye(7)[target]
    p /= p.sum(1, keepdims=True)
    resampler = Resampler(rng.integers(7470, size=n), target)

    def ours() -> None:
        bootstrap(Scorer(p, target, list("abcdefg")), resampler, n_draws=2000).intervals()

    def loop(draws: int = 5) -> None:
        for weights in resampler.block(0, 0, draws).T.astype(int):
            rows = np.repeat(np.arange(n), weights)
            truth, score, called = target[rows], p[rows], p[rows].argmax(1)
            for metric in (sk.balanced_accuracy_score, sk.matthews_corrcoef, sk.confusion_matrix):
                metric(truth, called)
            sk.precision_recall_fscore_support(truth, called, zero_division=0)
            sk.log_loss(truth, score)
            for i in range(7):
                sk.average_precision_score(truth == i, score[:, i])
                sk.roc_auc_score(truth == i, score[:, i])
                sk.roc_auc_score(truth != i, -score[:, i], max_fpr=0.2)
                sk.brier_score_loss(truth == i, score[:, i])

    took = seconds(ours)
    report("2,000 draws of every metric, 10,015 images, 7 classes", took, 10, least=False, unit=" s")
    report("the same by a loop over scikit-learn / skinlab", seconds(loop) / 5 * 2000 / took, 50, least=True)
