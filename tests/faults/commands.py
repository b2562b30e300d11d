"""The commands that are disturbed, each with the smallest work that it does."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import MALIGNANT
from tests.faults.victims import Ended, Moment, Victims

IMAGES = ["data=phantom", "data.n_images=120", "data.phantom_size=40", "data.image_size=32", "data.n_folds=2"]
TINY = [
    *(*IMAGES, "data.num_workers=0", "data.batch_size=16", "model=timm", "model.name=test_resnet"),
    *("model.init=random", "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=4"),
    *("callbacks.progress=false", f"data.label_map={MALIGNANT}"),
]
QUICK = ["n_draws=100"]
SSL = [*(each for each in TINY if "label_map" not in each), "views.small_size=32", "probe.every_n_epochs=1"]


@dataclass(frozen=True)
class Case:
    """A command, its overrides, and what its process needs before; see :meth:`Victims.start`.

    ``{in}`` stands for what is prepared, and ``{out}`` for the folder of its results.
    """

    command: str
    overrides: Sequence[str]
    setup: str = ""

    def start(
        self,
        victims: Victims,
        prepared: Path,
        out: Path,
        moment: Moment = Moment(),  # noqa: B008
        **environment: str,
    ) -> Ended:
        """Run the command, with its caches beside its results; see :meth:`Victims.start`."""
        out.mkdir(exist_ok=True)
        environment = {"SKINLAB_CACHE": str(out / "cache"), **environment}
        environment["SKINLAB_DATA_ROOT"] = str(prepared / "data")
        return victims.start(self.command, self.words(prepared, out), environment, moment, self.setup)

    def kill(
        self, victims: Victims, prepared: Path, out: Path, whole: Ended, rng: random.Random, *, at_change: bool
    ) -> None:
        """Run the command in an empty folder and kill it at a random moment; one that has ended before runs again.

        Args:
            victims: that run it.
            prepared: what it reads.
            out: folder of its results.
            whole: how it ended undisturbed.
            rng: draws the moment.
            at_change: whether it is a change of the file system.
        """
        killed = False
        while not killed:
            shutil.rmtree(out, ignore_errors=True)
            killed = self.start(victims, prepared, out, whole.moment(rng, at_change=at_change)).killed

    def words(self, prepared: Path, out: Path) -> list[str]:
        """Return the overrides with the places in them."""
        return [each.replace("{in}", str(prepared)).replace("{out}", str(out)) for each in self.overrides]


def _training(*overrides: str, command: str = "train") -> Case:
    base = TINY if command == "train" else SSL
    return Case(command, [*base, *overrides, "hydra.run.dir={out}/run"])


TRAININGS = {
    "train": _training("test=true", "evidence.n_draws=100", "data.cache=disk"),
    "train with workers, skew and averaged weights": _training(
        *("evidence=off", "data.num_workers=2", "sampler=weighted", "augment=heavy", "model.ema_decay=0.9"),
    ),
    "train semi=fixmatch": _training(
        "evidence=off", "semi=fixmatch", "data.label_budget=0.4", "data.batch_size=4", "data.n_images=160"
    ),
    "pretrain ssl=simclr": _training("ssl=simclr", command="pretrain"),
    "pretrain ssl=byol": _training("ssl=byol", "data.num_workers=2", command="pretrain"),
}
BUILDS = {
    "audit (fingerprint cache)": Case("audit", [*IMAGES, "hydra.run.dir={out}/run"]),
    "phantom build": Case(
        "audit", [*IMAGES, "data.root={out}/phantom", "hydra.run.dir={out}/run", "data.cache_dir=null"]
    ),
}
OTHERS = {
    "predict": Case("predict", ["ckpt={in}/a", "input={in}/images", "output={out}/p.csv", "num_workers=0"]),
    "evaluate": Case("evaluate", ["predictions=[{in}/a,{in}/b]", "output={out}/evaluation", *QUICK]),
    "ensemble": Case("ensemble", ["runs=[{in}/a,{in}/b]", "output={out}/ensemble", *QUICK]),
    "tta": Case("tta", ["ckpt={in}/a", "output={out}/tta", "views=[none,flips]", "num_workers=0", *QUICK]),
    "mine": Case(
        "mine", ["ckpt={in}/b", "output={out}/mine", "n=10", "n_draws=20", "num_workers=0", "picture=32"],
    ),
    "bundle": Case(
        "bundle", ["ckpt=[{in}/a,{in}/b]", "output={out}/b.bundle", "calibrator=temperature", "gate=none"]
    ),
    "shift": Case(
        "shift",
        [
            *("ckpt={in}/a", "output={out}/shift", "n_images=40", "probes=acquisition", "device=cpu"),
            *("probe.acquisition.corruptions=[pixelate]", "probe.acquisition.severities=[1]"),
        ],
    ),
    "submit": Case(
        "submit",
        [
            *("check={in}/submission.csv", "sample={in}/sample.csv", "predictions={in}/oof.csv"),
            *("log={out}/submissions.jsonl", *QUICK),
        ],
    ),
}  # fmt: skip

JOBS = {
    "study": Case(
        "study",
        [
            *(*TINY[:9], "trainer=cpu", "trainer.precision=32-true", TINY[-1]),
            *("base=[data.batch_size=16,model.init=random]", "arms=[A]", "budgets=[1.0]", "seeds=[0,1]", "epochs=1"),
            *("reports=false", "output={out}/study", *QUICK),
        ],
    ),
    "sweep": Case("train", ["-m", *TINY, "evidence=off", "seed=0,1", "hydra.sweep.dir={out}/sweep"]),
}


def prepare(folder: Path, victims: Victims) -> None:
    """Make the images and the runs."""
    runs = {"a": [], "b": ["seed=1", "data.label_budget=0.5"]}
    folder.mkdir()
    for name, overrides in runs.items():
        case = Case(
            "train", [*TINY, "evidence=off", "trainer.max_epochs=1", *overrides, f"hydra.run.dir={folder / name}"]
        )
        ended = case.start(victims, folder, folder / "made")
        assert ended.process.returncode == 0, ended.process.stderr
    (phantom,) = (folder / "data").glob("phantom*")
    (folder / "images").symlink_to(next(path for path in sorted(phantom.iterdir()) if any(path.glob("*.jpg"))))
    rng = np.random.default_rng(0)
    target = (rng.random(200) < 0.2).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=200) + 2.5 * target - 2)))
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(200)], "group": range(200), "label": target})
    table.assign(prob_0=1 - score, prob_1=score).to_csv(folder / "oof.csv", index=False)
    ids = [f"test/{k}.jpg" for k in range(100)]
    pd.DataFrame({"ID": ids, "label": 0}).to_csv(folder / "sample.csv", index=False)
    calls = (np.arange(100) < 20).astype(int)
    pd.DataFrame({"ID": ids, "label": calls}).to_csv(folder / "submission.csv", index=False)
