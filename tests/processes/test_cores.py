"""Cores: affinity and cgroup quotas count, and threads are set up before torch is imported."""

import os
import sys
import time

import pytest

from skinlab.processes import cores

HERE = "cpu,cpuacct/docker/ab/cpu.cfs_"  # of version 1
V2, V1 = "0::/user/job\n", "5:cpu,cpuacct:/docker/ab\n2:memory:/docker/ab\n"
QUOTAS = {
    "no cgroups": ("", {}, 8),
    "no limit": (V2, {"cpu.max": "max 100000\n"}, 8),
    "version 2": (V2, {"user/job/cpu.max": "300000 100000\n"}, 3),
    "a group around it": (V2, {"user/job/cpu.max": "max 100000\n", "user/cpu.max": "250000 100000\n"}, 2),
    "a container sees its group as the root": (V2, {"cpu.max": "200000 100000\n"}, 2),
    "less than a core": (V2, {"user/job/cpu.max": "50000 100000\n"}, 1),
    "more than there are": (V2, {"user/job/cpu.max": "6400000 100000\n"}, 8),
    "version 1": (V1, {f"{HERE}quota_us": "400000\n", f"{HERE}period_us": "100000\n"}, 4),
    "version 1 in a container": (V1, {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
    "version 1, no limit": (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    "damaged": (V2, {"user/job/cpu.max": "\n"}, 8),
}  # fmt: skip


@pytest.mark.parametrize(("group", "files", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_a_quota_limits_the_cores(monkeypatch, tmp_path, group, files, expected):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in {
        "proc/self/cgroup": group,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores.available_cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("given", "available", "sharers", "expected"),
    [
        ({}, 8, 1, {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}),
        ({}, 3, 1, {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0", "OMP_NUM_THREADS": "3"}),
        ({}, 8, 3, {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0", "OMP_NUM_THREADS": "2"}),
        ({"OMP_NUM_THREADS": "5"}, 3, 2, {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0", "OMP_NUM_THREADS": "5"}),
        ({"OMP_WAIT_POLICY": "active"}, 8, 1, {"OMP_WAIT_POLICY": "active"}),
        ({"GOMP_SPINCOUNT": "1000"}, 8, 1, {"GOMP_SPINCOUNT": "1000"}),
    ],
)
def test_what_the_environment_says_already_stays(monkeypatch, given, available, sharers, expected):
    names = {*cores.WAITING, "GOMP_SPINCOUNT", "OMP_NUM_THREADS"}
    monkeypatch.setattr("os.environ", {name: value for name, value in os.environ.items() if name not in names} | given)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "available_cores", lambda: available)
    cores.set_up_threads(sharers)
    assert {name: os.environ[name] for name in names & os.environ.keys()} == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"OMP_WAIT_POLICY": "passive"}),
        (["trainer.devices=2"], {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "3"}),
    ],
)
def test_a_command_sets_up_its_threads_before_it_loads_torch(monkeypatch, tmp_path, words, expected):
    from skinlab.cli import entry

    found = {}

    def call(*_):  # imports torch
        found.update({name: os.environ[name] for name in expected})

    monkeypatch.setattr("os.environ", {k: v for k, v in os.environ.items() if not k.startswith(("OMP", "KMP", "GOMP"))})
    monkeypatch.setattr(cores, "available_cores", lambda: 6)
    monkeypatch.setattr(entry, "log_to_terminal", lambda: None)
    monkeypatch.setattr(sys, "argv", ["train", *words, f"hydra.run.dir={tmp_path}"])
    monkeypatch.setattr(entry, "call", call)
    entry.run_command("train")
    assert found == expected


def test_threads_do_not_begin_what_waits_once_there_is_an_error():
    done = []

    def work(number):
        time.sleep(0.1)
        done.append(number)

    def interrupted():
        with cores.thread_pool() as pool:
            waiting = pool.map(work, range(1000))
            next(waiting)
            raise SystemExit(130)

    with pytest.raises(SystemExit):
        interrupted()
    assert len(done) < 500
