"""Jobs of sweeps that end with an exit code instead of running."""

from types import SimpleNamespace

import pytest

from skinlab.processes import jobs as job_processes

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@pytest.fixture
def hydra_of():
    """Hydra's config of a job in a directory."""

    def hydra_of(directory, sweeper="hydra._internal.core_plugins.basic_sweeper.BasicSweeper", launcher=BASIC):
        return SimpleNamespace(
            runtime=SimpleNamespace(output_dir=str(directory)),
            overrides=SimpleNamespace(task=["loss=focal"]),
            job=SimpleNamespace(num=3),
            sweep=SimpleNamespace(dir=str(directory.parent)),
            sweeper={"_target_": sweeper},
            launcher={"_target_": launcher},
        )

    return hydra_of


@pytest.fixture
def ended(monkeypatch):
    """Let jobs end with an exit code instead of running; returns what was started."""
    started = []

    def with_code(code):
        def start(command, env):
            started.append((command, env))
            return SimpleNamespace(returncode=code, wait=lambda: code)

        monkeypatch.setattr(job_processes.subprocess, "Popen", start)
        return started

    return with_code
