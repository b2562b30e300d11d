"""A full disk: the command ends with one line and leaves nothing by half; with more space the same command succeeds."""

import shutil

import pytest

from tests.faults.commands import BUILDS, OTHERS, TRAININGS
from tests.faults.results import check_equal, check_finished, check_refused, damaged, results

pytestmark = pytest.mark.faults

COMMANDS = {name: TRAININGS[name] for name in ("train", "pretrain ssl=simclr")} | BUILDS | OTHERS
PLENTY = 2**28  # bytes


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_at_any_size(name, victims, prepared, small_disk, rng, moments, fault):
    case, disk = COMMANDS[name], small_disk(PLENTY)
    out = disk / "out"
    whole = case.start(victims, prepared, out)
    assert whole.process.returncode == 0, whole.process.stderr
    expected, used = results(out), shutil.disk_usage(disk).used
    for _ in range(moments):
        shutil.rmtree(out)
        small_disk(rng.randrange(used))
        ended = case.start(victims, prepared, out)
        small_disk(PLENTY)
        with fault(f"full disk: {name}"):
            if ended.process.returncode:
                check_refused(ended.process)
                assert not damaged(out)
                ended = case.start(victims, prepared, out)
            check_finished(ended.process)
            check_equal(expected, out, caches=False)
