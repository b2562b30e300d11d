"""The settings of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from skinlab.evaluation.evidence.subgroups import AGE_BANDS
from skinlab.evaluation.evidence.units import Unit
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import N_DRAWS
from skinlab.evaluation.statistics.comparison import Endpoint
from skinlab.evaluation.thresholds.decision import Decision, DecisionSettings
from skinlab.evaluation.thresholds.operating import ThresholdSettings

COMPARED = ("balanced_accuracy", "pr_auc_macro", "auroc_macro", "f1_macro", "brier")  # by default
COMPARED_OF_TWO = ("balanced_accuracy", "pr_auc_macro", "auroc_macro", "f1_positive", "brier")  # of two classes
RATES = ("sensitivity", "specificity")  # at the first threshold rule


@dataclass(frozen=True)
class EvaluationSettings(ThresholdSettings):
    """The settings of an evaluation; see ``conf/evaluate.yaml``.

    Systems are compared by the metrics ``compare_by`` and by net benefit at the thresholds ``net_benefit_at``: every
    pair of them, or each with the ``reference``. ``compare_rates`` says whether the metrics by default have sensitivity
    and specificity, where these are metrics of the systems; None where ``compare_by`` is set. ``common`` leaves images
    out that not every system has; None where it can't be set.
    """

    cross_fit: bool = False
    calibration: bool = True
    decide: str = "argmax"
    decide_by: str = "balanced_accuracy"
    decision: Decision | None = None
    metadata: str | None = None
    labels: str | None = None
    columns: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)
    subgroups: Sequence[str] | None = None
    age_bands: Sequence[int] = AGE_BANDS
    units: Sequence[Unit] | None = None
    n_draws: int = N_DRAWS
    endpoint: Endpoint | None = None
    compare_by: Sequence[str] = ()
    compare_rates: bool | None = None
    common: bool | None = None
    reference: str | None = None
    net_benefit_at: Sequence[float] = ()

    def binary_view(self, predictions: Predictions) -> Predictions | None:
        """Return the view of the positive classes, two classes being one already; None where there is none."""
        if len(predictions.classes) == 2 and list(self.positive or predictions.classes[1:]) == predictions.classes[1:]:
            return predictions
        return predictions.binary(self.positive) if self.positive else None

    def with_comparison(self, n_classes: int, *, rates: bool) -> EvaluationSettings:
        """Return the settings with the metrics by which systems are compared by default, unless some are set.

        Args:
            n_classes: of the systems.
            rates: whether sensitivity and specificity are metrics of the systems.
        """
        if self.compare_rates is None:
            return self
        metrics = COMPARED_OF_TWO if n_classes == 2 else COMPARED
        more = RATES if rates and self.compare_rates else ()
        return replace(self, compare_by=[*metrics, *more], compare_rates=None)

    def decision_settings(self, classes: Sequence[str], prior: Sequence[float] | None) -> DecisionSettings:
        """Return those of the rule for the called class, for models trained on classes in the shares ``prior``."""
        positive = self.positive or (classes[1:] if len(classes) == 2 else ())
        known, how = prior is not None and min(prior) > 0, (self.decide, self.decide_by, self.cost_ratio)
        return DecisionSettings(*how, positive, prior if known else None, self.seed, self.prevalence)
