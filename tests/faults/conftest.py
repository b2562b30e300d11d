"""The faults' seed and number, what the commands need, and the table at the end of the session."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.faults.commands import Case, prepare
from tests.faults.results import results
from tests.faults.victims import Ended, Victims


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults-seed", type=int, help="of the moments of the faults; a new one by default")
    group.addoption("--faults-moments", type=int, default=2, help="moments at which each command is disturbed")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("faults_seed", None) is None:
        config.option.faults_seed = random.SystemRandom().randrange(10**6)  # the workers of xdist get it, too


def pytest_report_header(config: pytest.Config) -> str:
    return f"faults: --faults-seed={config.option.faults_seed}"


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> int:
    """Moments at which each command is disturbed."""
    return int(request.config.getoption("faults_moments", 2))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """The moments of a test."""
    return random.Random(f"{request.config.option.faults_seed} {request.node.name}")


@pytest.fixture
def fault(record_property: Callable[[str, Any], None]) -> Callable[[str], Any]:
    """Count a fault, and its result as lost unless the block ends well."""

    @contextmanager
    def trying(kind: str, number: int = 1) -> Iterator[None]:
        lost = number
        try:
            yield
            lost = 0
        finally:
            record_property("fault", [kind, number, lost])

    return trying


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tried, lost = Counter[str](), Counter[str]()
    for report in (each for reports in terminalreporter.stats.values() for each in reports):
        for name, value in getattr(report, "user_properties", []):
            if name == "fault" and report.when == "call":
                tried[value[0]] += value[1]
                lost[value[0]] += value[2]
    if not tried:
        return
    terminalreporter.section(f"faults, --faults-seed={config.option.faults_seed}")
    terminalreporter.write_line(f"{'fault':<72} tried  results lost")
    for kind in sorted(tried):
        terminalreporter.write_line(f"{kind:<72} {tried[kind]:>5}  {lost[kind]:>12}")
    terminalreporter.write_line(f"{'all':<72} {tried.total():>5}  {lost.total():>12}")


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    """A process whose forks run commands."""
    server = Victims(tmp_path_factory.mktemp("cwd"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def prepared(shared_tmp: Path, victims: Victims) -> Path:
    """Images and runs that the commands read, made once for all test processes."""
    folder = shared_tmp / "prepared"
    with FileLock(shared_tmp / "prepared.lock"):
        if not (folder / "done").exists():
            prepare(folder, victims)
            (folder / "done").touch()
    return folder


@pytest.fixture
def reference(victims: Victims, prepared: Path, tmp_path: Path) -> Callable[[Case], tuple[Ended, dict[str, Any]]]:
    """Run a command undisturbed: how it ended, and its results, which lie elsewhere afterwards."""

    def start(case: Case) -> tuple[Ended, dict[str, Any]]:
        out = tmp_path / "out"
        ended = case.start(victims, prepared, out)
        assert ended.process.returncode == 0, ended.process.stderr
        found = results(out)
        assert found
        out.rename(tmp_path / "reference")
        return ended, found

    return start


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of some bytes, or give the one that is mounted another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size: int) -> Path:
        pages = max(1, size // os.sysconf("SC_PAGE_SIZE"))
        mounted = "remount," if place.is_mount() else ""
        options = f"{mounted}nr_blocks={pages},mode=700"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small disk can't be mounted: {done.stderr.strip()}")
        return place

    if shutil.which("mount") is None:
        pytest.skip("a small disk can't be mounted: there is no mount")
    yield sized
    if place.is_mount():
        subprocess.run(["umount", "-l", place], check=True)
