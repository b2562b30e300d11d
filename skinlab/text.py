"""Text of tables: clean it, recognise words for missing values, and find two spellings of one name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable

# Words for missing values by spreadsheets, R, pandas and people.
MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "<na>", "n.a.", "nan", "nat", "none", "null", "nil", "unknown", "not known"}
    | {"not available", "missing", "undefined", "?", "-", "--", "."}
)
_UNLABELED = re.compile(
    r"(?:un|not?|non|without|w/?o) ?(?:label|annotat)(?:s|l?ed|ions?)?(?: (?:data|images?|pool|set))?"
)
_SEPARATORS = re.compile(r"[\s_-]+")
_WHOLE_NUMBER = re.compile(r"\+?(-?\d+)(?:[.,]0+)?")
_INVISIBLE = ("Cf", "Cc", "Cs")  # categories of Unicode: format, control, half a character


def clean(text: str) -> str:
    r"""Return a text in Unicode's composed form, without invisible characters, blanks at its ends or runs of blanks.

    Control characters are left out, too: a terminal would follow them, and no page may have them.

    >>> clean("\ufeffP7\u00a0 "), clean("basal \x1b cell"), clean("nae\u0301vus") == "na\u00e9vus"
    ('P7', 'basal cell', True)
    """
    if not (text.isascii() and text.isprintable()):  # saves a second for a million usual values
        visible = (letter for letter in text if letter.isspace() or unicodedata.category(letter) not in _INVISIBLE)
        text = unicodedata.normalize("NFC", "".join(visible))
    return " ".join(text.split())


def printable(text: str | os.PathLike[str]) -> str:
    r"""Return a text on one line, with characters escaped that a terminal would follow or can't show.

    >>> printable("mole\n\x1b[2J\udcff.jpg")
    'mole\\n\\x1b[2J\\udcff.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in os.fspath(text))


def printable_lines(text: str) -> str:
    """Return a text whose lines stay, each as :func:`printable` returns it."""
    return "\n".join(map(printable, text.split("\n")))


def is_missing(text: str) -> bool:
    """Return whether a text is a word for a missing value.

    >>> is_missing("N/A"), is_missing("Unknown "), is_missing("un-labelled"), is_missing("nv")
    (True, True, True, False)
    """
    return says_missing(clean(text))


def is_unlabeled(text: str) -> bool:
    """Return whether a text is a spelling of `unlabeled`.

    >>> is_unlabeled("Unlabelled "), is_unlabeled("no_label"), is_unlabeled("unlabeled images"), is_unlabeled("unknown")
    (True, True, True, False)
    """
    folded = text.casefold()  # a fast check, since a table may have a million values
    return ("label" in folded or "annotat" in folded) and _UNLABELED.fullmatch(name_key(text)) is not None


def name_key(text: str) -> str:
    """Return a key that is equal for spellings of one name: without case, separators and a whole number's decimals.

    >>> name_key("Basal_Cell ") == name_key("basal cell"), name_key("1.0") == name_key("1"), name_key("P7") == "p7"
    (True, True, True)
    """
    if text.isascii() and text.isalnum():
        return text.casefold()
    cleaned = unicodedata.normalize("NFKC", clean(text)).casefold()
    number = _WHOLE_NUMBER.fullmatch(cleaned)
    return number[1] if number else _SEPARATORS.sub(" ", cleaned).strip() or clean(text)


def two_spellings(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of distinct names that are spellings of one name, each with the alphabetically first spelling.

    >>> two_spellings(["nv", "MEL", "mel", "0", "0.0"])
    [('0', '0.0'), ('MEL', 'mel')]
    """
    first: dict[str, str] = {}
    pairs = []
    for name in sorted(set(names)):
        if (known := first.setdefault(name_key(name), name)) != name:
            pairs.append((known, name))
    return pairs


def match_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the known name of which each name is a spelling; names with none or several are left out.

    >>> match_names(["1.0", "Mel", "nv"], ["0", "1", "mel"])
    {'1.0': '1', 'Mel': 'mel'}
    """
    exact = set(known)
    by_key: dict[str, list[str]] = {}
    for name in exact:
        by_key.setdefault(name_key(name), []).append(name)
    found = {}
    for name in dict.fromkeys(names):
        candidates = [name] if name in exact else by_key.get(name_key(name), [])
        if len(candidates) == 1:
            found[name] = candidates[0]
    return found


def says_missing(cleaned: str) -> bool:
    """Return whether a clean text is a word for a missing value."""
    return cleaned.casefold() in MISSING_WORDS or is_unlabeled(cleaned)


def quantity(n: int, noun: str, verb: str = "") -> str:
    """Return a number with its noun in the singular or plural.

    Args:
        n: the number.
        noun: in the singular.
        verb: in the singular, such as ``is`` or ``can't be read``, to follow the noun.

    >>> quantity(1, "image"), quantity(2, "pair of copies", "has"), quantity(10015, "class", "is")
    ('1 image', '2 pairs of copies have', '10,015 classes are')
    """
    if n != 1:
        head, of, rest = noun.partition(" of ")
        noun = f"{head}{'es' if head.endswith('s') else 's'}{of}{rest}"
        verb = _plural(verb)
    return f"{n:,} {noun} {verb}".rstrip()


def portion(n: int, total: int, noun: str, verb: str = "") -> str:
    """Return how many of several something is true of.

    Args:
        n: their number.
        total: number of all.
        noun: in the singular.
        verb: in the singular, to follow the noun.

    >>> portion(1, 1, "image", "was"), portion(1, 3, "image", "has"), portion(2, 3, "row", "differs")
    ('1 of 1 image was', '1 of 3 images has', '2 of 3 rows differ')
    """
    return f"{n:,} of {quantity(total, noun)} {verb if n == 1 else _plural(verb)}".rstrip()


def _plural(verb: str) -> str:
    return {"is": "are", "has": "have", "was": "were"}.get(verb, verb.removesuffix("s"))
