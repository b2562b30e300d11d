import json

from tests.evidence_schema import PLACE, schema


def test_the_published_schema_is_that_of_the_typed_form():
    assert json.loads(PLACE.read_text()) == schema(), "write it anew: python -m tests.evidence_schema"
