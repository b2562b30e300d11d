"""Start a SLURM cluster of two nodes on this machine: ``python -m tests.slurm.cluster FOLDER``.

Needs root and Debian's packages: apt-get install slurmctld slurmd slurm-client munge. All files, sockets and logs are
in FOLDER, so that nothing of an installed cluster is touched; the daemons end with the script.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODES = ("n1", "n2")
# Both nodes are this machine, which may have fewer cores: config_overrides has slurmd believe in them. A requeued job
# starts once its former credential has expired.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=20
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge=600
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """A running cluster.

    Args:
        folder: of its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.daemons = folder, dict[str, subprocess.Popen[bytes]]()
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def call(self, *command: str) -> str:
        """Run a command of SLURM's and return its output."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        self._start(name, "slurmd", "-D", "-N", name, "-f", self.environment["SLURM_CONF"])

    def submit(self, script: str, *options: str) -> str:
        """Submit a script of bash and return the number of its job."""
        path = self.folder / "job.sh"
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        return self.call(
            "sbatch", "--parsable", f"--output={self.folder}/job-%j.log", "--open-mode=append", *options, str(path)
        )

    def facts(self, job: str) -> dict[str, str]:
        """Return what SLURM knows of a job."""
        words = self.call("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, *states: str, seconds: float = 240) -> dict[str, str]:
        """Wait until a job is in one of some states and return what SLURM knows of it."""
        found: dict[str, str] = {}

        def reached() -> bool:
            found.update(self.facts(job))
            return found["JobState"] in states

        wait_for(reached, seconds, lambda: f"job {job} is {found['JobState']}, not {states}: {self.log(job)}")
        return found

    def log(self, job: str) -> str:
        """Return the output of a job."""
        path = self.folder / f"job-{job}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _start(self, name: str, *command: str, user: str = "root") -> None:
        log = (self.folder / f"{name}.out").open("ab")
        self.daemons[name] = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, user=user, start_new_session=True
        )

    def start(self) -> None:
        """Start all daemons and wait until both nodes are idle."""
        munge = self.folder / "munge"
        munge.mkdir(parents=True)
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o400)
        for path in (munge, munge / "key"):
            shutil.chown(path, "munge")
        files = {"socket": munge / "socket", "key-file": munge / "key"}
        files |= {f"{name}-file": munge / name for name in ("log", "pid", "seed")}
        config = CONFIG.format(folder=self.folder, host=socket.gethostname(), ports=free_ports(3))
        (self.folder / "slurm.conf").write_text(config, encoding="utf-8")
        (self.folder / "state").mkdir()
        words = [f"--{name}={path}" for name, path in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *words, user="munge")
        self._start("slurmctld", "slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        for name in NODES:
            self.start_node(name)
        wait_for(lambda: self.states() == ["idle"] * 2, 60, lambda: f"the nodes are {self.states()}, see {self.folder}")

    def states(self) -> list[str]:
        """Return the states of the nodes; nothing where the controller does not answer yet."""
        command = ["sinfo", "--Node", "--noheader", "--format=%T"]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout.split()

    def stop(self) -> None:
        """End all jobs and daemons."""
        subprocess.run(["scancel", "--user=root"], env=self.environment, check=False, capture_output=True)
        time.sleep(1)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def wait_for(condition: Callable[[], bool], seconds: float, message: Callable[[], str]) -> None:
    """Wait for a condition, and fail with a message where it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, message()
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Return TCP ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster whose files are in a new folder, and end it."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


if __name__ == "__main__":
    with running_cluster(Path(sys.argv[1]).absolute()) as running:
        print(f"export SLURM_CONF={running.environment['SLURM_CONF']}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
