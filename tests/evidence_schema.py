"""The JSON schema of ``evidence.json``, made from its typed form: ``python -m tests.evidence_schema`` writes it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from pydantic import TypeAdapter

from skinlab.evaluation.evidence.form import Evidence

PLACE = Path(__file__).parents[1] / "docs" / "evidence.schema.json"


def schema() -> dict[str, Any]:
    """Return the schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | TypeAdapter(Evidence).json_schema()


def validate_evidence(folder: Path) -> None:
    """Hold the ``evidence.json`` of a folder against the published schema."""
    content = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, json.loads(PLACE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    PLACE.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
