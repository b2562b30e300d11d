"""Speed of an optimiser's step: fused AdamW beside torch's loop over the tensors."""

from __future__ import annotations

from typing import Any

from tests.bench.measure import cpu_ratios, quotient, report

REPEATS = 7


def bench_optimizer() -> None:
    """Take steps of AdamW as trainings do, beside torch's loop over the tensors."""
    import torch

    from skinlab.models.backbone import build_network
    from skinlab.models.optim import build_optimizer

    for name in ("resnet18", "tf_efficientnet_lite0"):
        works: dict[str, Any] = {}
        for kind, fused in (("fused", True), ("loop", False)):
            network = build_network(name, 7)
            settings = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05, "fused": fused}
            optimizer = build_optimizer(network, settings)
            for parameter in network.parameters():
                parameter.grad = torch.randn_like(parameter)
            works[kind] = lambda _, step=optimizer.step: [step() for _ in range(10)]
        took = cpu_ratios(works, repeats=REPEATS)
        title = f"a step of AdamW on the weights of {name}, CPU time: torch's loop / fused"
        report(title, quotient(took["loop"], took["fused"]), 1.5, least=True)
