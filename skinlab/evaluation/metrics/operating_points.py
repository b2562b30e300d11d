"""At which operating point a metric of decisions is computed: that of a rule, or else the usual one."""

from __future__ import annotations

from collections.abc import Iterable

from skinlab.evaluation.thresholds.choice import FIXED_BEFOREHAND, is_fixed

OF_POSITIVE = ("sensitivity", "specificity", "ppv", "npv", "f1_positive")
OF_CLASSES = ("f1_macro", "recall", "specificity", "precision", "npv", "f1")
OF_CALLED = ("balanced_accuracy", "accuracy", "mcc", *OF_CLASSES)
HALF, MOST_PROBABLE = "p \N{GREATER-THAN OR EQUAL TO} 0.5", "most probable class"


def operating_point(name: str) -> str:
    """Return the operating point of a metric in ``metrics.json``; "" where it depends on no decision, or names its own.

    The positive one of two classes is predicted from a probability of 0.5 on; of several classes the most probable one
    is.

    >>> operating_point("sensitivity"), operating_point("recall/mel"), operating_point("auroc/mel")
    ('p ≥ 0.5', 'most probable class', '')
    """
    base, _, of_class = name.partition("/")
    if not of_class and base in OF_POSITIVE:
        return HALF
    return MOST_PROBABLE if base in OF_CLASSES else ""


def rule_words(rule: str) -> str:
    """Name a threshold rule for a reader.

    >>> rule_words("f1"), rule_words("sensitivity>=0.95"), rule_words("cost"), rule_words("p>=0.3")
    ('best F1', 'sensitivity ≥ 0.95', 'least expected cost', 'p ≥ 0.3')
    """
    return {"f1": "best F1", "cost": "least expected cost"}.get(rule, rule.replace(">=", " ≥ "))


def threshold_words(rule: str, threshold: float, *, cross_fitted: bool = False) -> str:
    """Name the operating point of a threshold rule.

    >>> threshold_words("f1", 0.3124), threshold_words("f1", 0.3124, cross_fitted=True)
    ('best F1, p ≥ 0.312', 'best F1, cross-fitted')
    >>> threshold_words("p>=0.3", 0.3)
    'p ≥ 0.3, fixed beforehand'
    """
    if is_fixed(rule):
        return f"{rule_words(rule)}, {FIXED_BEFOREHAND}"
    return f"{rule_words(rule)}, {'cross-fitted' if cross_fitted else f'p ≥ {threshold:.3f}'}"


def called_words(rule: str, *, cross_fitted: bool = False) -> str:
    """Name the operating point of a rule for the called class.

    >>> called_words("prior:auto", cross_fitted=True)
    'called class, prior:auto, cross-fitted'
    """
    return f"called class, {rule}{', cross-fitted' if cross_fitted else ''}"


def common_point(points: Iterable[str]) -> str:
    """Return the operating point of several systems: the same one, or else the rule that they share.

    >>> common_point(["best F1, p ≥ 0.312", "best F1, cross-fitted"]), common_point(["p ≥ 0.5", "p ≥ 0.5"])
    ('best F1', 'p ≥ 0.5')
    """
    known = list(dict.fromkeys(points))
    if len(known) == 1:
        return known[0]
    parts = [point.split(", ") for point in known]
    shared = [words[0] for words in zip(*parts, strict=False) if len(set(words)) == 1]
    return ", ".join(shared)
