"""Write the outcome of a pretraining: the backbone of its best epoch with its record, and the metrics of the run."""

from __future__ import annotations

import resource
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from skinlab.callbacks.assembly import choose_monitor
from skinlab.callbacks.pretraining_metrics import STATE_KEY
from skinlab.data.datamodule import SkinDataModule
from skinlab.files import write_json
from skinlab.models.weights import read_checkpoint
from skinlab.report.run_files import best_epoch_words
from skinlab.report.wording import limit_sentences
from skinlab.runs.backbone_record import NAME, config_hash, find_init, write_backbone
from skinlab.runs.outcome import best_epoch
from skinlab.runs.provenance import merged, weight_provenance
from skinlab.selfsup.pretrainer import Pretrainer
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.text import quantity


def write_outcome(
    run_dir: Path,
    settings: PretrainSettings,
    datamodule: SkinDataModule,
    pretrainer: Pretrainer,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Write ``backbone.safetensors``, ``backbone.json`` and, as the last, ``metrics.json``.

    Args:
        run_dir: with ``checkpoints/``.
        settings: of the run.
        datamodule: of the run.
        pretrainer: of the run; its weights are not used, those of the best checkpoint are.
        facts: of the run, see :func:`skinlab.runs.outcome.run_facts`.

    Returns:
        The metrics, flat name → value.
    """
    best, last = (read_checkpoint(run_dir / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    start = last["callbacks"].get("Probe", {}).get("start", {})
    epochs = {"start": start, "best": _epoch_metrics(best), "last": _epoch_metrics(last)}
    probed = any(name.startswith("probe/") for name in epochs["best"])
    monitor, mode = choose_monitor(settings.callbacks.monitor, probed)
    counts = last["callbacks"][STATE_KEY]
    metrics: dict[str, Any] = {
        f"{when}/{name}": value for when, found in epochs.items() for name, value in found.items()
    }
    metrics |= {
        "images": len(datamodule.pool_rows(settings.pool)),
        "images_seen": counts["images"],
        "images_per_second": counts["images"] / counts["seconds"] if counts["seconds"] else float("nan"),
        **peak_memory(),
        **best_epoch(settings, best, monitor, mode, epochs["best"][monitor]),
        **facts,
    }
    prefix = "backbone."
    state = {name.removeprefix(prefix): t for name, t in best["state_dict"].items() if name.startswith(prefix)}
    record = (
        backbone_record(settings, datamodule, pretrainer)
        | facts
        | {"best/epoch": best["epoch"], "metrics": epochs["best"]}
    )
    write_backbone(run_dir, state, record)
    write_json(run_dir / "metrics.json", metrics)
    return metrics


def _epoch_metrics(checkpoint: dict[str, Any]) -> dict[str, float]:
    """Return the metrics that the callbacks kept of the epoch before a checkpoint; older ones as ``figures``."""
    states = [checkpoint["callbacks"].get(name, {}) for name in ("Probe", STATE_KEY)]
    kept = [state.get("metrics", state.get("figures", {})) for state in states]
    return {name: value for metrics in kept for name, value in metrics.items()}


def backbone_record(settings: PretrainSettings, datamodule: SkinDataModule, pretrainer: Pretrainer) -> dict[str, Any]:
    """Return the record of a backbone: method, network, and the training images of this run and its initial weights."""
    rows = datamodule.pool_rows(settings.pool)
    hashes, tails = datamodule.prepared.image_hashes, datamodule.prepared.file_tails
    own = {"images": [hashes[each] for each in rows["image_id"]], "groups": rows["group"].tolist()}
    own["files"] = [tails[each] for each in rows["image_id"]]
    return {
        "method": settings.ssl.name,
        "network": settings.model.name,
        "inputs": dict(pretrainer.hparams["inputs"]),
        "epochs": settings.trainer.max_epochs,
        "data": settings.data.name,
        "pool": settings.pool,
        "config_sha256": config_hash(settings.dump()),
        **merged(own, weight_provenance(find_init(settings.model.init, settings.data.fold), datamodule.cache_dir)),
    }


def peak_memory() -> dict[str, float]:
    """Return the most memory that this process, without its loaders, and its GPU had in use, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    memory = {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
    if torch.cuda.is_available():
        memory["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return memory


def print_outcome(metrics: dict[str, Any], run_dir: Path) -> None:
    """Print the metrics of the probes, the speed and the place of the backbone."""
    console = Console()

    def show(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False, markup=False)

    show(f"{best_epoch_words(metrics, run_dir)}, from {metrics['init_used']} weights")
    for name in [name.removeprefix("best/") for name in metrics if name.startswith("best/probe/")]:
        others = {"before the first epoch": f"start/{name}", "last epoch": f"last/{name}"}
        others_shown = ", ".join(f"{when} {metrics[key]:.3f}" for when, key in others.items() if key in metrics)
        show(f"  {name}: {metrics[f'best/{name}']:.3f}" + (f" ({others_shown})" if others_shown else ""))
    probes = [name.removeprefix("start/") for name in metrics if name.startswith("start/probe/")]
    if worse := [name for name in probes if metrics[f"start/{name}"] >= metrics.get(f"best/{name}", float("inf"))]:
        show(f"! by {', '.join(worse)} the features are no better than those of the weights that it started from")
    for sentence in limit_sentences(metrics):
        show(f"! {sentence}")
    show(
        f"{quantity(metrics['images'], 'image')}, {metrics['images_seen']} seen, "
        f"{metrics['images_per_second'] or 0:.0f} a second"
    )
    show(f"backbone: {run_dir / NAME}")
    command = f"python -m skinlab.train model.init={shlex.quote(str(run_dir))} finetune=lp_ft"
    show(f"to fine-tune it, with the same model=, data= and data.image_size=: {command}")
