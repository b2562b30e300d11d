"""The positive class of two: the one whose sensitivity, thresholds and Kaggle's 1 are meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skinlab.errors import UserError, nearest
from skinlab.text import name_key

# Names as data sets write them, without separators; whole numbers above 0 are positive, too.
POSITIVE = """
mel melanoma mm melanomainsitu invasivemelanoma malignant malign malignancy maligne maligno cancer cancerous carcinoma
tumor tumour metastasis bcc basalcellcarcinoma scc squamouscellcarcinoma akiec disease diseased sick abnormal suspicious
positive pos yes y true t present case
"""
NEGATIVE = """
benign benigne benigno nv nevus naevus nevi naevi mole moles melanocyticnevus melanocyticnaevus bkl benignkeratosis sk
seb seborrheickeratosis seborrhoeickeratosis df dermatofibroma vasc vascularlesion lentigo other others rest remainder
allother allothers background control controls healthy normal negative neg no n none false f absent 0 -1
"""
NEGATION = re.compile(r"(non|not|no)(.+)")


def known_positive(classes: Sequence[str]) -> str | None:
    """Return the positive one of two classes as their names tell it, or None.

    A well-known positive name on one side decides, or a well-known negative one.

    >>> known_positive(["mel", "other"]), known_positive(["0", "1"]), known_positive(["nv", "bkl"])
    ('mel', '1', None)
    """
    first, last = (_sign(name) for name in classes)
    return None if first == last else classes[0] if first > last else classes[1]


def positive_class(classes: Sequence[str], chosen: Sequence[str] | None = None, setting: str = "positive") -> str:
    """Return the positive one of two classes.

    Args:
        classes: two names, in any order.
        chosen: what the user, or the run that made the predictions, says; None to go by the names.
        setting: where to say it, for the message.

    Raises:
        UserError: the choice is not one of the two, or there is none and the names don't tell.

    >>> positive_class(["A", "B"], ["A"])
    'A'
    """
    if chosen:
        (name, *more), (a, b) = chosen, classes
        if more or name not in classes:
            hint = "" if more else nearest(name, classes)
            raise UserError(f"positive={','.join(chosen)}: name one of the two classes {a}, {b}{hint}")
        return name
    if known := known_positive(classes):
        return known
    a, b = classes
    raise UserError(
        f"of the two classes {a} and {b} the names don't tell which is positive, the one that sensitivity, thresholds "
        f"and Kaggle's 1 are of: set {setting}=[{a}] or {setting}=[{b}]"
    )


def _sign(name: str) -> int:
    """Return 1 for a name that is known as positive, -1 for a negative one, else 0."""
    key = name_key(name).replace(" ", "")
    if key in NEGATIVE.split():
        return -1
    if key in POSITIVE.split() or (key.isdecimal() and int(key) > 0):
        return 1
    negated = NEGATION.fullmatch(key)
    return -1 if negated and negated[2] in POSITIVE.split() else 0
