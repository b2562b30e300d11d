"""The positive class of two, to which sensitivity, thresholds and Kaggle's 1 refer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skinlab.errors import UserError, nearest
from skinlab.text import name_key

# Names in data sets, without separators; whole numbers above 0 are positive, too.
MELANOMA = "mel melanoma mm melanomainsitu invasivemelanoma"
POSITIVE = f"""
{MELANOMA} malignant malign malignancy maligne maligno cancer cancerous carcinoma
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
    """Return the positive one of two classes by well-known positive and negative names; None if these do not decide.

    >>> known_positive(["mel", "other"]), known_positive(["0", "1"]), known_positive(["nv", "bkl"])
    ('mel', '1', None)
    """
    first, last = (_sign(name) for name in classes)
    return None if first == last else classes[0] if first > last else classes[1]


def positive_names(classes: Sequence[str]) -> list[str]:
    """Return the classes whose names are known as positive, such as the malignant ones of several diagnoses.

    >>> positive_names(["bcc", "mel", "nv"])
    ['bcc', 'mel']
    """
    return [name for name in classes if _sign(name) > 0]


def positive_class(classes: Sequence[str], chosen: Sequence[str] | None = None, setting: str = "positive") -> str:
    """Return the positive one of two classes.

    Args:
        classes: two names, in any order.
        chosen: by the user, or in the run of the predictions; None to decide by the names.
        setting: for the choice, in a message.

    Raises:
        UserError: the choice is not one of the two, or there is none and the names do not decide.

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
        f"the names of the two classes {a} and {b} do not show which is positive, the one of sensitivity, thresholds "
        f"and Kaggle's 1: set '{setting}=[{a}]' or '{setting}=[{b}]'"
    )


def _sign(name: str) -> int:
    """Return 1 for a known positive name, -1 for a known negative one, else 0."""
    key = name_key(name).replace(" ", "")
    if key in NEGATIVE.split():
        return -1
    if key in POSITIVE.split() or (key.isdecimal() and int(key) > 0):
        return 1
    negated = NEGATION.fullmatch(key)
    return -1 if negated and negated[2] in POSITIVE.split() else 0
