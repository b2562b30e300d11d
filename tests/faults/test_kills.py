"""SIGKILL at a random moment, then the same command again: the end result is that of an undisturbed one."""

import shutil

import pytest

from tests.faults.commands import BUILDS, OTHERS, TRAININGS
from tests.faults.results import check_equal, check_finished, damaged

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_that_is_killed_again_and_again(name, victims, prepared, reference, tmp_path, rng, moments, fault):
    case, out = TRAININGS[name], tmp_path / "out"
    whole, expected = reference(case)
    for first_at_change in (False, True):
        shutil.rmtree(out, ignore_errors=True)
        legs = 0
        for leg in range(moments):
            ended = case.start(victims, prepared, out, whole.moment(rng, at_change=(leg % 2 == 1) != first_at_change))
            if not ended.killed:
                break
            legs += 1
            assert not damaged(out, killed=True)
        with fault(f"SIGKILL: {name}", legs):
            ended = case.start(victims, prepared, out)
            check_finished(ended.process)
            check_equal(expected, out)


@pytest.mark.parametrize("name", [*BUILDS, *OTHERS])
def test_a_command_that_is_killed(name, victims, prepared, reference, tmp_path, rng, moments, fault):
    case, out = (BUILDS | OTHERS)[name], tmp_path / "out"
    whole, expected = reference(case)
    for number in range(moments):
        case.kill(victims, prepared, out, whole, rng, at_change=number % 2 == 0)
        with fault(f"SIGKILL: {name}"):
            assert not damaged(out, killed=True)
            ended = case.start(victims, prepared, out)
            check_finished(ended.process)
            check_equal(expected, out)
