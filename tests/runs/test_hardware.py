import subprocess
import sys

import pytest
import torch

from skinlab.errors import UserError
from skinlab.models.backbone import build_network, has_depthwise
from skinlab.runs.hardware import choose_precision, uses_gpu


@pytest.mark.parametrize(("name", "depthwise"), [("resnet18", False), ("tf_efficientnet_lite0", True)])
def test_depthwise_networks_are_recognised(name, depthwise):
    assert has_depthwise(build_network(name, 2)) == depthwise


def test_an_explicit_precision_stays():
    assert choose_precision("16-mixed", "cpu", build_network("resnet18", 2)) == "16-mixed"


@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_uses_bfloat16_only_where_it_is_native_and_fast(monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    chosen = choose_precision("auto", "cpu", build_network("resnet18", 2))
    assert chosen == ("bf16-mixed" if native else "32-true")
    assert choose_precision("auto", "cpu", build_network("tf_efficientnet_lite0", 2)) == "32-true"


def test_no_gpu_is_said_plainly(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not uses_gpu("auto")
    with pytest.raises(UserError, match="no CUDA device"):
        uses_gpu("gpu")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_that_a_step_freed_serves_the_next_one_without_page_faults():
    script = """
import resource, torch
from skinlab.runs.hardware import keep_freed_memory
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for megabytes in (64, 32): torch.ones(megabytes << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first, second = step(), step()
keep_freed_memory()
print(second, [step() for _ in range(6)][-1])  # the heap takes a step or two to be as large as it must
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    without, kept = map(int, done.stdout.split())
    assert kept * 10 < without
