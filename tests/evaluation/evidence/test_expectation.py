"""What is expected on a new test set has the sensitivity of the table of thresholds, and names whose metric it is."""

import numpy as np
import pytest

from skinlab.evaluation.evidence.expectation import expectation
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import system_evidence
from skinlab.evaluation.statistics.expectation import NewSet
from skinlab.report.headlines import expectation_rows
from tests.evaluation.evidence.test_system import rows


def expected(n: int, cross_fit: bool = True) -> tuple[dict, list]:
    settings = EvaluationSettings(positive=["b", "c"], rules=["f1", "cost"], cross_fit=cross_fit, n_draws=100)
    view, other = rows(n), rows(n, 1, "o")
    found = system_evidence("s", [view], settings, selection=None if cross_fit else other)
    how = {"cross_fitted": cross_fit, "n_draws": 100, "level": 0.95, "seed": 0}
    return expectation(settings.binary_view(view), found.thresholds, NewSet(300, 0.1), **how), found.block["thresholds"]


@pytest.mark.parametrize("cross_fit", [True, False])
def test_sensitivity_and_specificity_are_those_of_the_table_of_thresholds(cross_fit):
    of_new, table = expected(240, cross_fit)
    for each, row in zip(of_new["at_thresholds"], table, strict=True):
        for name in ("sensitivity", "specificity"):
            assert each["metrics"][name]["value"] == pytest.approx(row[name]["value"]), (each["rule"], name)


def test_metrics_of_the_positive_are_not_named_as_those_of_all_classes():
    of_new, _ = expected(240)
    assert list(of_new["metrics"]) == ["auroc/positive", "pr_auc_positive", "brier"]
    labels = [label for label, _ in expectation_rows(of_new)]
    assert labels[0] == "AUROC, positive"
    assert labels[2] == "Brier score of positive against other"


def test_few_groups_have_the_reason_in_the_table():
    of_new, _ = expected(30)
    assert np.isnan(of_new["metrics"]["brier"]["low"])
    assert all("at least 15 are needed" in value for _, value in expectation_rows(of_new))
