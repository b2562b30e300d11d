"""One hygiene for the text of every table."""

import pandas as pd
import pytest

from skinlab.tables.text_columns import clean_column
from skinlab.text import match_names, name_key, two_spellings


@pytest.mark.parametrize("text", ["P7", "P7 ", "\tP7", "P7\u00a0", "\u200bP7", "\ufeffP7", "P7\u2003", "P\u00ad7"])
def test_blanks_and_invisible_characters_are_removed(text):
    assert clean_column(pd.Series([text])).tolist() == ["P7"]


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "NA",
        "n/a",
        "NaN",
        "None",
        "null",
        "unknown ",
        "<NA>",
        "?",
        "Unlabelled",
        "no_label",
        None,
        float("nan"),
    ],
)
def test_missing_words_are_missing(word):
    column = pd.Series([word, "P7"], dtype=object)
    assert clean_column(column).tolist() == ["", "P7"]


def test_cleaning_twice_changes_nothing():
    before = pd.Series(["P7", "P7 ", None, "NA", "na\u0308vus"], index=[3, 1, 4, 0, 2], name="group")
    after = clean_column(before)
    pd.testing.assert_series_equal(clean_column(after), after)
    assert (after.name, after.index.tolist()) == ("group", [3, 1, 4, 0, 2])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MEL", "mel "),
        ("0", "0.0"),
        ("1,0", "1"),
        ("basal cell", "Basal_Cell"),
        ("a-b", "A b"),
        ("\uff4d\uff45\uff4c", "mel"),
    ],
)
def test_spellings_of_one_name_are_found(one, other):
    assert name_key(one) == name_key(other)
    assert two_spellings([one, other, "nv"]) == [tuple(sorted([one, other]))]
    assert match_names([one], [other, "nv"]) == {one: other}


@pytest.mark.parametrize(("one", "other"), [("mel", "mela"), ("0", "00"), ("P7", "P70"), ("1-11", "11-1"), ("-", "_")])
def test_other_names_stay_apart(one, other):
    assert two_spellings([one, other]) == []


def test_a_name_that_may_mean_two_is_left_out():
    assert match_names(["MEL", "Mel"], ["Mel", "mel"]) == {"Mel": "Mel"}
