"""A download that is killed, or whose disk is full: the same command ends in the same files."""

import shutil

import pytest

from tests.faults import archive
from tests.faults.commands import Case
from tests.faults.results import check_equal, check_finished, check_refused, damaged, results
from tests.fetching.server import serving

pytestmark = pytest.mark.faults

PLENTY = 2**28  # bytes


@pytest.fixture
def case():
    with serving() as server:
        archive.serve(server)
        hosts = [f"hosts.{name}={server.address}" for name in ("dataverse", "kaggle", "isic", "github")]
        words = ["data=ham10000", "data.root={out}/ham", "accept_license=true", "retry_pause=0", "retries=3", *hosts]
        yield Case("fetch", words, setup="tests.faults.archive")


def test_a_download_that_is_killed(case, victims, prepared, reference, tmp_path, rng, moments, fault):
    out = tmp_path / "out"
    whole, expected = reference(case)
    for number in range(moments):
        case.kill(victims, prepared, out, whole, rng, at_change=number % 2 == 0)
        with fault("SIGKILL: fetch"):
            check_finished(case.start(victims, prepared, out).process)
            check_equal(expected, out)


def test_a_download_to_a_full_disk(case, victims, prepared, small_disk, rng, moments, fault):
    disk = small_disk(PLENTY)
    out = disk / "out"
    check_finished(case.start(victims, prepared, out).process)
    expected, used = results(out), shutil.disk_usage(disk).used
    for _ in range(moments):
        shutil.rmtree(out)
        small_disk(rng.randrange(used))
        ended = case.start(victims, prepared, out)
        small_disk(PLENTY)
        with fault("full disk: fetch"):
            if ended.process.returncode:
                check_refused(ended.process)
                assert not damaged(out / "ham")
                ended = case.start(victims, prepared, out)
            check_finished(ended.process)
            check_equal(expected, out)
