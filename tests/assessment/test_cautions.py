"""What an evaluation warns of: images that chose the best epoch, and images of the training."""

from dataclasses import replace

import pytest

from skinlab.assessment.cautions import evaluation_cautions
from skinlab.evaluation.evidence.system import SystemEvidence
from skinlab.report.openings import VALIDATION
from tests.assessment.test_systems import find, write_run

NOTHING = SystemEvidence({"thresholds": [], "decision": None}, None, None, [])


def cautions(*systems):
    return evaluation_cautions([(each, NOTHING) for each in systems])


def with_metrics(system, **metrics):
    runs = [replace(run, metrics=run.metrics | metrics) for run in system.runs]
    return replace(system, runs=runs)


@pytest.fixture
def systems(tmp_path):
    return find(write_run(tmp_path / "a"), write_run(tmp_path / "b"))


def test_validation_images_are_named_once_for_all_systems(systems):
    found = [text for text in cautions(*systems) if "images" in text]
    assert found == [f"a, b: {VALIDATION}"]
    assert cautions(*systems, *systems)[0] == f"all 4 systems: {VALIDATION}"


@pytest.mark.parametrize("metrics", [{"max_epochs": 1, "monitor": "val/loss"}, {"max_epochs": 3, "monitor": "epoch"}])
def test_where_no_epoch_was_chosen_validation_images_are_new(systems, metrics):
    a, b = systems
    assert [text for text in cautions(with_metrics(a, **metrics), b) if "images" in text] == [f"b: {VALIDATION}"]


def test_images_of_the_training_keep_their_own_sentence(systems):
    a, b = systems
    found = cautions(with_metrics(a, init_saw_val=4), b)
    assert found[0] == f"b: {VALIDATION}"
    assert "a: 4 of 6 images were trained on by this model and 2 chose its best epoch" in found[1]
    assert found[1].endswith("the metrics are not of new images.")


@pytest.mark.parametrize(("weights", "n"), [("PRE/backbone.safetensors", 1), ("imagenet", 0), ("hf-hub:a/b@0f", 0)])
def test_trainings_from_one_pretraining_do_not_count_its_variation(tmp_path, weights, n):
    for seed in (0, 1):
        write_run(tmp_path / "sweep" / str(seed), seed=seed)
    (system,) = find(tmp_path / "sweep")
    found = [text for text in cautions(with_metrics(system, init_used=weights)) if "pretraining" in text]
    assert len(found) == n
    assert all(
        f": all 2 trainings start from 1 pretraining ({weights}): the variation between" in each for each in found
    )
    different = [replace(run, metrics={"init_used": f"PRE{i}/x"}) for i, run in enumerate(system.runs)]
    assert not [text for text in cautions(replace(system, runs=different)) if "pretraining" in text]
