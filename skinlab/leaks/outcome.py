"""What leaks are worth: paired differences on the test images, from the predictions of the trainings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.views import View
from skinlab.evaluation.leak_form import LeakResult, Measured
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate, metric_estimate
from skinlab.evaluation.thresholds.choice import choose_threshold
from skinlab.leaks.plan import TEST, VAL, Leak
from skinlab.processes.progress import track

Bools = npt.NDArray[np.bool_]
# Training and table → seed → its predictions.
Tables = Mapping[tuple[str, str], Mapping[int, Predictions]]

OF_ALL, OF_TWO = ["balanced_accuracy", "auroc_macro"], ["f1_positive"]
AT_THRESHOLD = ["f1_positive", "sensitivity", "specificity"]
SEED = 0  # of the bootstrap samples, which show how often a metric is undefined


def measure(leaks: Sequence[Leak], tables: Tables, positive: Sequence[str]) -> list[LeakResult]:
    """Return what each leak is worth.

    Args:
        leaks: of the plan.
        tables: of all its trainings; those of two classes have the positive one last.
        positive: the classes that thresholds are for; none: they are not measured.
    """
    return [_result(leak, tables, positive) for leak in track(leaks, "comparing trainings", len(leaks))]


def _result(leak: Leak, tables: Tables, positive: Sequence[str]) -> LeakResult:
    reason = leak.reason
    metrics: dict[str, Measured] = {}
    on_leaked: dict[str, Measured] = {}
    if leak.rule and not positive:
        reason = "none of the classes is known to be malignant; name those that are, as in leaks.positive=[mel]"
    elif leak.rule:
        metrics = _at_thresholds(leak.rule, tables, positive)
    elif not reason:
        clean, leaked = tables[leak.clean], tables[leak.leaked]
        any_table = next(iter(clean.values()))
        every, ours = np.ones(len(any_table), bool), np.isin(any_table.image_id, leak.test_ids)
        metrics = _measured(_trainings(clean, every), _trainings(leaked, every))
        if ours.any() and not ours.all():
            on_leaked = _measured(_trainings(clean, ours), _trainings(leaked, ours))
    return {
        "kind": leak.kind,
        "title": f"{leak.title} ({leak.rule})" if leak.rule else leak.title,
        "share": leak.share,
        "images": leak.images,
        "status": "not run" if reason else "run",
        "reason": reason,
        "metrics": metrics,
        "on_leaked": on_leaked,
    }


def _trainings(tables: Mapping[int, Predictions], rows: Bools) -> Trainings:
    """Return the bootstrap samples of each seed's metrics on some of the images."""
    names = OF_ALL + (OF_TWO if len(next(iter(tables.values())).classes) == 2 else [])
    return Trainings({("seed", seed): View([table], names).samples(rows, seed=SEED) for seed, table in tables.items()})


def _at_thresholds(rule: str, tables: Tables, positive: Sequence[str]) -> dict[str, Measured]:
    """Return the metrics of the clean training at thresholds chosen on validation and on the test itself."""
    views = {
        name: {seed: _view(table, positive) for seed, table in tables["clean", name].items()} for name in (TEST, VAL)
    }

    def chosen_on(name: str) -> Trainings:
        found: dict[Hashable, BootstrapSamples] = {}
        for seed, test in views[TEST].items():
            own = views[name][seed]
            threshold = choose_threshold(own.probabilities[:, 1], own.target == 1, rule)
            at, every = np.full((len(test), 1), threshold), np.ones(len(test), bool)
            found[seed] = View([test], AT_THRESHOLD, at).samples(every, seed=SEED)
        return Trainings(found)

    return _measured(chosen_on(VAL), chosen_on(TEST))


def _view(table: Predictions, positive: Sequence[str]) -> Predictions:
    return table if len(table.classes) == 2 else table.binary(positive)


def _measured(clean: Trainings, leaked: Trainings) -> dict[str, Measured]:
    """Return each metric without and with a leak, and the paired difference."""
    names = next(iter(clean.samples.values())).estimate
    return {
        name: {
            "clean": metric_estimate(clean, name).interval().to_dict(),
            "leaked": metric_estimate(leaked, name).interval().to_dict(),
            "difference": difference_estimate(leaked, clean, name).interval().to_dict(),
        }
        for name in names
    }
