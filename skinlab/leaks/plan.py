"""The plan of a leak meter: one fixed test, and the trainings into which leaks are put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from skinlab.errors import UserError
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.settings.commands.audit import LeakSettings

LEAKED = "leaked: "  # before the id of an image that stands in the place of a training image
# Of what is drawn. Not the trainings' seed, so that all have one test and the same leaks; nor a number that
# data.split_seed may be, for the same draw has made the split.
DRAW_SEED = [*b"leak meter"]
# Tables that a training leaves: the test at the epoch that validation chooses and at that of the best test, validation.
TEST, BY_TEST, VAL = "test", "epoch_by_test", "val"


@dataclass(frozen=True)
class Training:
    """A training of the meter.

    Attributes:
        name: of its files.
        manifest: its training, validation and test images.
        pretraining: manifest whose training images a pretraining uses before; None for no pretraining.
        keeps: the tables of its predictions that are kept.
    """

    name: str
    manifest: pd.DataFrame
    pretraining: pd.DataFrame | None = None
    keeps: tuple[str, ...] = (TEST,)


@dataclass(frozen=True)
class Leak:
    """A leak at one share.

    Attributes:
        kind: of the settings.
        title: in words.
        share: of what can leak; None where all of it does.
        clean: training and table without the leak.
        leaked: training and table with it.
        images: number of images that leak.
        test_ids: ids of the test images that leak, or whose lesion does.
        rule: of a threshold; "" for other leaks.
        reason: why it can't be measured; "" where it can.
    """

    kind: str
    title: str
    share: float | None = None
    clean: tuple[str, str] = ("clean", TEST)
    leaked: tuple[str, str] = ("clean", TEST)
    images: int = 0
    test_ids: Sequence[str] = ()
    rule: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """The trainings by name, the clean one first, and the leaks that they measure."""

    trainings: dict[str, Training] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)

    @property
    def clean(self) -> pd.DataFrame:
        """The manifest without leaks."""
        return self.trainings["clean"].manifest


class NoRoomError(Exception):
    """More images leak than there are training images of their class."""


def make_plan(manifest: pd.DataFrame, settings: LeakSettings) -> Plan:
    """Fix the test and lay out the trainings.

    The test keeps the first image of each group; the others are what leaks of it. Images that leak take the place of as
    many training images of their class, so that the trainings are of one length and the difference is the leak's alone.
    What leaks at a smaller share leaks at a larger one, too.

    Args:
        manifest: audited and split.
        settings: of the meter.

    Raises:
        UserError: there is no part to test or to validate on, or it is too small.
    """
    manifest = drawn(manifest[manifest["split"].isin(["train", "val", "test"])], settings.n_images)
    in_test = manifest["split"] == "test"
    further = in_test & manifest.duplicated(["split", "group"])
    clean, siblings = manifest[~further].reset_index(drop=True), manifest[further]
    _check_parts(clean)
    plan = Plan({"clean": Training("clean", clean, keeps=(TEST, BY_TEST, VAL))})
    add: dict[str, Callable[[], None]] = {
        "copies": lambda: _add_copies(plan, settings.copies),
        "same_lesion": lambda: _add_siblings(plan, siblings, settings.same_lesion),
        "pretraining": lambda: _add_pretraining(plan),
        "epoch": lambda: plan.leaks.append(Leak("epoch", "epoch chosen on the test", leaked=("clean", BY_TEST))),
        "threshold": lambda: plan.leaks.extend(
            Leak("threshold", "threshold chosen on the test", rule=rule) for rule in settings.rules
        ),
    }
    for kind in settings.kinds:
        add[kind]()
    return plan


def drawn(manifest: pd.DataFrame, n: int | None) -> pd.DataFrame:
    """Return at most n rows, whole groups drawn at random, in their order."""
    if n is None or len(manifest) <= n:
        return manifest
    groups = manifest["group"].unique()
    order = pd.Series(np.random.default_rng(DRAW_SEED).permutation(len(groups)), index=groups)
    place = manifest["group"].map(order).to_numpy()
    kept: pd.DataFrame = manifest[np.cumsum(np.bincount(place))[place] <= n]
    return kept


def _check_parts(clean: pd.DataFrame) -> None:
    """Refuse data without a part to train, to choose the epoch or to test on."""
    remedies = {
        "train": "check data.fold and the split column",
        "val": "the epoch is chosen on it: set data.fold=0, or give the split column such a part",
        "test": "set data.test_fraction above 0",
    }
    for split, remedy in remedies.items():
        if not (clean["split"] == split).any():
            raise UserError(f"leak_meter=true: the data has no {split} part; {remedy}")
    lesions = clean[clean["split"] == "test"]["label"].value_counts()
    if (lesions >= MIN_GROUPS).sum() < 2:
        counts = ", ".join(f"{n} of {label}" for label, n in lesions.items())
        raise UserError(
            f"leak_meter=true: the test has {counts}, and a difference needs {MIN_GROUPS} lesions of two classes at "
            "least; give more images, or raise data.test_fraction or leaks.n_images"
        )


def inject(manifest: pd.DataFrame, leaked: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest with rows in the place of as many training rows of their classes, drawn at random.

    Args:
        manifest: without them.
        leaked: rows with its columns, in the order in which they leak.

    Raises:
        NoRoomError: there are fewer training rows of a class.
    """
    changed, train = manifest.copy(), manifest[manifest["split"] == "train"]
    columns = [name for name in manifest if name not in ("split", "fold")]
    for label, rows in leaked.groupby("label", sort=True):
        own = train.index[train["label"] == label]
        if len(rows) > len(own):
            raise NoRoomError(
                f"{len(rows)} images of {label} leak, and the training has {len(own)}; lower the share or "
                "data.test_fraction"
            )
        places = np.random.default_rng(DRAW_SEED).permutation(own)[: len(rows)]
        changed.loc[places, columns] = rows.assign(image_id=LEAKED + rows["image_id"])[columns].to_numpy()
    return changed.astype(manifest.dtypes.to_dict())


def _drawn_order(values: pd.Series[str]) -> pd.Series[str]:
    return values.sample(frac=1, random_state=np.random.default_rng(DRAW_SEED))


def _add(plan: Plan, leak: Leak, name: str, leaked: pd.DataFrame) -> None:
    """Add a leak and the training with its rows, or why there is none."""
    try:
        plan.trainings[name] = Training(name, inject(plan.clean, leaked))
        plan.leaks.append(replace(leak, leaked=(name, TEST), images=len(leaked)))
    except NoRoomError as error:
        plan.leaks.append(replace(leak, reason=str(error), test_ids=()))


def _add_copies(plan: Plan, shares: Sequence[float]) -> None:
    test = plan.clean[plan.clean["split"] == "test"]
    order = _drawn_order(test["image_id"])
    for share in shares:
        ids = order.iloc[: max(1, round(share * len(order)))]
        leak = Leak("copies", "copies of test images", share, test_ids=ids.tolist())
        _add(plan, leak, f"copies_{share:g}", test.loc[ids.index])


def _add_siblings(plan: Plan, siblings: pd.DataFrame, shares: Sequence[float]) -> None:
    title = "other images of test lesions"
    if siblings.empty:
        plan.leaks.append(Leak("same_lesion", title, reason="no lesion of the test has several images"))
        return
    test = plan.clean[plan.clean["split"] == "test"]
    order = _drawn_order(siblings["group"].drop_duplicates())
    rank = siblings["group"].map(pd.Series(range(len(order)), index=order))
    ranked = siblings.set_index(rank).sort_index(kind="stable")
    for share in shares:
        leaked = ranked.loc[: max(1, round(share * len(order))) - 1].reset_index(drop=True)
        ids = test["image_id"][test["group"].isin(leaked["group"])]
        _add(plan, Leak("same_lesion", title, share, test_ids=ids.tolist()), f"same_lesion_{share:g}", leaked)


def _add_pretraining(plan: Plan) -> None:
    """Add two pretrainings of one length, on the training images and on these with the test images in their places."""
    title, test = "pretraining on test images", plan.clean[plan.clean["split"] == "test"]
    try:
        leaked = inject(plan.clean, test)
    except NoRoomError as error:
        plan.leaks.append(Leak("pretraining", title, reason=str(error)))
        return
    for name, pretraining in (("pretrained", plan.clean), ("pretrained_on_test", leaked)):
        plan.trainings[name] = Training(name, plan.clean, pretraining)
    tables = ("pretrained", TEST), ("pretrained_on_test", TEST)
    plan.leaks.append(Leak("pretraining", title, None, *tables, len(test)))
