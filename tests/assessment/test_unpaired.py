"""Systems on different images: what a report states about their data."""

from dataclasses import replace

import pytest

from skinlab.assessment.unpaired import build_unpaired_evidence
from skinlab.evaluation.evidence.settings import EvaluationSettings
from tests.assessment.test_systems import find, write_run

PROVENANCE = {"command": "", "config": {}, "versions": {}, "date": ""}


def with_data(system, name):
    runs = [replace(run, config=run.config | {"data": run.config["data"] | {"name": name}}) for run in system.runs]
    return replace(system, runs=runs)


@pytest.mark.parametrize(("names", "said"), [(("ham10000", "phantom"), True), (("ham10000", "ham10000"), False)])
def test_data_sets_that_differ_are_named(tmp_path, names, said):
    systems = find(write_run(tmp_path / "a", fold=0), write_run(tmp_path / "b", fold=1))
    systems = [with_data(system, name) for system, name in zip(systems, names, strict=True)]
    evidence, _ = build_unpaired_evidence(systems, EvaluationSettings(n_draws=20), provenance=PROVENANCE)
    assert ("Their data sets differ: a ham10000, b phantom." in evidence["cautions"][0]) == said
