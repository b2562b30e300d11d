"""At which operating point a metric of decisions is computed where no rule for thresholds says otherwise."""

from __future__ import annotations

OF_POSITIVE = ("sensitivity", "specificity", "ppv", "npv", "f1_positive")
OF_CLASSES = ("f1_macro", "recall", "specificity", "precision", "npv", "f1")
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
