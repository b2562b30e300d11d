"""Golden outcomes: what short runs of every command leave, to show that a change of structure changes no number.

Hashes of weights hold for one machine and one set of package versions, so record and compare on the same machine:

    python -m tests.golden record /tmp/before.json     # on the commit before
    python -m tests.golden record /tmp/after.json      # on the commit after
    python -m tests.golden compare /tmp/before.json /tmp/after.json

``record FILE train seed_1 evaluate_test`` records these runs only, and no refusals.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.command_server import CommandServer
from tests.refusals import REFUSALS, write_tables

MALIGNANT = "{mel: malignant, bcc: malignant, akiec: malignant, nv: benign, bkl: benign, vasc: benign, df: benign}"
# What names a time, a place, a duration or a wording instead of a result.
VOLATILE = {"made", "provenance", "ratio", "run_id", "run", "cautions", "command"}
VOLATILE |= {"threads", "reader", "root", "lines", "first", "last"}  # first and last: times of openings of a test
VOLATILE |= {"overrides", "warnings", "problems", "sentence", "verdict", "words", "started", "versions", "summary"}

TINY = [
    *("data=phantom", "data.n_images=160", "data.phantom_size=48", "data.image_size=32", "data.n_folds=2"),
    *("data.num_workers=0", "data.batch_size=16", "model=resnet18", "model.init=random", "trainer=cpu"),
    *("trainer.precision=32-true", "trainer.max_epochs=2", "callbacks.progress=false"),
]
TWO = f"data.label_map={MALIGNANT}"
QUICK = ["n_draws=200"]
SSL = [*TINY, "data.batch_size=16", "views.small_size=32", "probe.every_n_epochs=1"]

# name → command and its overrides; {out} is the folder of all runs.
RUNS: dict[str, tuple[str, list[str]]] = {
    "train": ("train", [*TINY, TWO, "evidence.n_draws=200"]),
    "seed_1": ("train", [*TINY, TWO, "evidence.n_draws=200", "seed=1"]),
    "seven": ("train", [*TINY, "evidence.n_draws=200", "evidence.positive=[mel,bcc,akiec]", "loss=focal"]),
    "recipe": (
        "train",
        [
            *(
                *TINY,
                TWO,
                "loss=logit_adjusted",
                "sampler=weighted",
                "augment=heavy",
                "augment.mixup=0.4",
                "evidence=off",
            ),
            *("model.ema_decay=0.5", "finetune=lp_ft", "optimizer=sgd", "data.cache=disk", "trainer.max_epochs=3"),
            *("callbacks.monitor=val/auroc_macro", "trainer.accumulate_grad_batches=2", "data.label_budget=0.5"),
        ],
    ),
    "layer_decay": ("train", [*TINY, "loss=ldam", "model.head=cosine", "finetune=layer_decay", "evidence=off"]),
    "fixmatch": ("train", [*TINY, TWO, "semi=fixmatch", "data.label_budget=0.3", "data.batch_size=8", "evidence=off"]),
    "mixmatch": ("train", [*TINY, TWO, "semi=mixmatch", "data.label_budget=0.3", "data.batch_size=8", "evidence=off"]),
    "mean_teacher": (
        "train",
        [*TINY, TWO, "semi=mean_teacher", "data.label_budget=0.3", "data.batch_size=8", "evidence=off"],
    ),
    "dsm": (
        "train",
        [
            *(each for each in TINY if not each.startswith("data.n_images")),
            *("data.layout=dsm2025", "data.n_positive=20", "data.n_negative=60", "data.n_unlabeled=40"),
            *("data.n_test=12", "evidence=off"),
        ],
    ),
    **{
        method: ("pretrain", [*SSL, f"ssl={method}", *(["ssl.local_views=2"] if method == "dino" else [])])
        for method in ("simclr", "byol", "moco", "simsiam", "barlow_twins", "vicreg", "dino", "denoise")
    },
    "tuned": ("train", [*TINY, "model.init={out}/simclr", "finetune=linear_probe", "evidence=off"]),
    "folds": ("train", ["-m", *TINY, TWO, "data.fold=0,1", "evidence=off", "hydra.sweep.dir={out}/folds"]),
    "audit": ("audit", TINY[:5]),
    "predict": ("predict", ["ckpt={out}/train", "input={data}", "output={out}/predict/p.csv", "num_workers=0"]),
    "predict_tta": (
        "predict",
        ["ckpt={out}/seven", "input={data}", "output={out}/predict_tta/p.csv", "tta=flips", "num_workers=0"],
    ),
    "kaggle": (
        "predict",
        ["ckpt={out}/train", "input={data}", "output={out}/kaggle/p.csv", "format=kaggle", "num_workers=0"],
    ),
    "bundle": (
        "bundle",
        [
            *("ckpt=[{out}/train,{out}/seed_1]", "output={out}/bundle/b.bundle", "calibrator=temperature"),
            *("thresholds=[f1,cost]", "gate=none"),
        ],
    ),
    "gated": ("bundle", ["ckpt={out}/train", "output={out}/gated/b.bundle", "gate_images=100", "num_workers=0"]),
    "predict_bundle": (
        "predict",
        [
            *("ckpt={out}/bundle/b.bundle", "input={data}", "output={out}/predict_bundle/p.csv", "threshold=f1"),
            "num_workers=0",
        ],
    ),
    "predict_gated": (
        "predict",
        ["ckpt={out}/gated/b.bundle", "input={data}", "output={out}/predict_gated/p.csv", "num_workers=0"],
    ),
    "evaluate": ("evaluate", ["predictions=[{out}/train,{out}/seed_1]", "output={out}/evaluate", *QUICK]),
    "evaluate_folds": (
        "evaluate",
        ["predictions={out}/folds", "output={out}/evaluate_folds", "cross_fit=true", *QUICK],
    ),
    "evaluate_seven": (
        "evaluate",
        ["predictions={out}/seven/predictions/test.csv", "positive=[mel,bcc]", "output={out}/evaluate_seven", *QUICK],
    ),
    "evaluate_test": (
        "evaluate",
        [
            *("predictions=[{out}/train,{out}/seed_1]", "split=test", "decide=prior:auto", "endpoint=auroc_macro"),
            *("expect={n: 100, prevalence: 0.1}", "output={out}/evaluate_test", *QUICK),
        ],
    ),
    "test_seven": (
        "evaluate",
        [
            *("predictions={out}/seven", "split=test", "positive=[mel,bcc]", "decide=thresholds", "thresholds=[cost]"),
            *("prevalence=0.02", "output={out}/test_seven", *QUICK),
        ],
    ),
    **{
        f"ensemble_{method}": (
            "ensemble",
            ["runs=[{out}/train,{out}/seed_1]", f"method={method}", f"output={{out}}/ensemble_{method}", *QUICK],
        )
        for method in ("mean", "geometric", "rank", "weighted", "overlap")
    },
    "tta": ("tta", ["ckpt={out}/train", "output={out}/tta", "views=[none,flips]", "num_workers=0", *QUICK]),
    "mine": (
        "mine",
        ["ckpt={out}/recipe", "output={out}/mine", "n=20", "n_draws=20", "num_workers=0", "picture=48"],
    ),
    "study": (
        "study",
        [
            *(word for word in TINY[:8]),
            *("data.num_workers=0", "model=resnet18", "trainer=cpu", "trainer.precision=32-true"),
            *("base=[data.batch_size=16,model.init=random]", "base_pretrain=[data.batch_size=16]", "arms=[A,D]"),
            *("budgets=[0.5]", "seeds=[0,1]", "epochs=2", "pretrain_epochs=1", "output={out}/study", *QUICK),
        ],
    ),
}
READ = ("ckpt", "predictions", "runs", "model.init")  # settings that name outcomes of other runs
# Names of runs, each stage after those whose outcomes it reads.
SECOND = [
    name
    for name, (_, overrides) in RUNS.items()
    if any(word.partition("=")[0] in READ and "{out}" in word for word in overrides)
]
THIRD = [name for name in SECOND if ".bundle" in RUNS[name][1][0]]
LAST = [
    name for name in SECOND if "split=test" in RUNS[name][1]
]  # opens the test of runs, which others' evidence counts
STAGES = [
    [n for n in RUNS if n not in (*SECOND, "audit")],
    [n for n in SECOND if n not in (*THIRD, *LAST)],
    THIRD,
    *([name] for name in LAST),  # one after the other: each counts the openings before it
]


def main(arguments: list[str]) -> int:
    """Record golden outcomes, or compare two records."""
    if arguments[:1] == ["record"] and len(arguments) >= 2 and RUNS.keys() >= set(arguments[2:]):
        found = record(arguments[2:] or list(RUNS), refusals=len(arguments) == 2)
        Path(arguments[1]).write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
        return 0
    if arguments[:1] == ["compare"] and len(arguments) == 3:
        before, after = (json.loads(Path(each).read_text(encoding="utf-8")) for each in arguments[1:])
        lines = list(differences(before, after))
        print("\n".join(lines[:200]) or f"equal: {sum(1 for _ in leaves(before))} values")
        return int(bool(lines))
    print(__doc__)
    return 2


def record(names: Collection[str], *, refusals: bool = True) -> dict[str, Any]:
    """Run commands in a temporary folder and return what they leave.

    Args:
        names: of :data:`RUNS`; a run whose outcomes they read is to be among them.
        refusals: whether to try the mistakes, too.

    Returns:
        File → content or hash, command → exit code, and the mistakes that were not refused as they should be.
    """
    servers: SimpleQueue[CommandServer] = SimpleQueue()
    for _ in range(2):
        servers.put(CommandServer())
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        out = Path(folder)
        found: dict[str, Any] = {}
        for stage in [["audit"], *STAGES]:  # the audit draws the phantom, which the other runs share
            stage = [name for name in stage if name in names or name == "audit"]
            codes = list(pool.map(lambda name: run(name, out, servers), stage))
            found |= {f"exit/{name}": code for name, code in zip(stage, codes, strict=True)}
        if refusals:
            found["refusals"] = wrong_refusals(out, pool, servers)
        for path in sorted(out.rglob("*")):
            relative = str(path.relative_to(out))
            content = None if relative.startswith(("data/", "cache/", "cwd/", "study/logs/")) else outcome(path)
            if content is not None:
                found[relative] = content
    while not servers.empty():
        servers.get().close()
    return dict(json.loads(json.dumps(found).replace(folder, "")))


def run(name: str, out: Path, servers: SimpleQueue[CommandServer]) -> int:
    """Run a command as a person would and return its exit code."""
    command, overrides = RUNS[name]
    if command in ("train", "pretrain", "audit") and "-m" not in overrides:
        overrides = [*overrides, f"hydra.run.dir={out / name}"]
    (out / name).mkdir(parents=True, exist_ok=True)
    done = run_command(command, overrides, out, name, servers)
    if done.returncode:
        print(f"{name}: exit code {done.returncode}\n{done.stderr[-1500:]}", file=sys.stderr)
    return done.returncode


def run_command(
    command: str, overrides: list[str], out: Path, name: str, servers: SimpleQueue[CommandServer]
) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty folder of its own; {out} and {data} stand for the folder of all runs and the images."""
    data = f"{out}/data/phantom_ham10000_160_48_60_0"
    overrides = [word.replace("{out}", str(out)).replace("{data}", data) for word in overrides]
    environment = {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "offline"}
    environment |= {"SKINLAB_DATA_ROOT": f"{out}/data", "SKINLAB_CACHE": f"{out}/cache", "HF_HUB_OFFLINE": "1"}
    folder = out / "cwd" / name
    folder.mkdir(parents=True, exist_ok=True)
    server = servers.get()
    try:
        return server.run(command, overrides, folder, os.environ | environment, timeout=600)
    finally:
        servers.put(server)


def wrong_refusals(out: Path, pool: ThreadPoolExecutor, servers: SimpleQueue[CommandServer]) -> list[str]:
    """Return the mistakes that were not refused with exit code 2 and one line, and print what happened instead."""
    write_tables(out / "cwd" / "tables")
    mistakes = [(command, overrides) for command, each in REFUSALS.items() for overrides in each]
    done = pool.map(lambda item: run_command(*item[1], out, f"refusal_{item[0]}", servers), list(enumerate(mistakes)))
    wrong = []
    for (command, overrides), each in zip(mistakes, done, strict=True):
        lines = [line for line in each.stderr.splitlines() if not line.startswith(("INFO: ", "WARNING: "))]
        if each.returncode != 2 or len(lines) != 1 or not lines[0].startswith("error: "):
            wrong.append(" ".join([command, *overrides]))
            print(f"{wrong[-1]}: exit code {each.returncode}\n{each.stderr[-1500:]}", file=sys.stderr)
    return wrong


def outcome(path: Path) -> Any:
    """Return what a file says, without times and places; None for folders, pages, pictures and logs."""
    if path.suffix in (".ckpt", ".bundle", ".safetensors"):
        return hash_tensors(path)
    if path.suffix == ".json":
        return stable(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{key: value for key, value in row.items() if is_stable(key)} for row in csv.DictReader(file)]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return None


def hash_tensors(path: Path) -> str:
    """Return a hash of all tensors of a file and of their names; callbacks keep them under the names of files."""
    import torch
    from safetensors.torch import load_file

    content: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    content = {key: value for key, value in content.items() if key != "callbacks"}
    digest = hashlib.sha256()
    for name, value in sorted((name, value) for name, value in leaves(content) if isinstance(value, torch.Tensor)):
        digest.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def stable(content: Any) -> Any:
    """Return a JSON content without what differs between two equal runs."""
    if isinstance(content, dict):
        return {key: stable(value) for key, value in content.items() if is_stable(key)}
    return [stable(value) for value in content] if isinstance(content, list) else content


def is_stable(key: str) -> bool:
    """Return whether what a key or column holds is the same in two equal runs."""
    return key not in VOLATILE and not any(part in key for part in ("second", "memory", "sha256", "path"))


def leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of everything in nested containers."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, f"{place}/{key}")
    elif isinstance(content, (list, tuple)):
        for i, value in enumerate(content):
            yield from leaves(value, f"{place}/{i}")
    else:
        yield place, content


def differences(before: Any, after: Any) -> Iterator[str]:
    """Yield a line for every value that differs, by more than a billionth if it is a number."""
    then, now = dict(leaves(before)), dict(leaves(after))
    for place in sorted(then.keys() | now.keys()):
        a, b = then.get(place, "nothing"), now.get(place, "nothing")
        near = isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-9 * max(1.0, abs(a))
        if a != b and not near:
            yield f"{place}: {a!r} → {b!r}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
