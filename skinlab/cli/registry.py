"""The commands: what each does, an example, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skinlab.settings.base import Settings
    from skinlab.settings.command import Invocation


@dataclass(frozen=True)
class Command:
    """A command, run as ``skinlab NAME`` or ``python -m skinlab.NAME``.

    Its function is ``skinlab.commands.NAME.NAME``; it takes the settings, ``skinlab.settings.NAME.NameSettings``.

    Attributes:
        summary: what it does, in one line.
        example: its overrides in a typical call.
        more_examples: two further ones, for its help.
        lists: settings that may be written as ``name=A,B``, which Hydra would take for a sweep, beside lists of names.
        aliases: other names of its settings.
        with_invocation: whether the function takes an :class:`skinlab.settings.command.Invocation`, too.
    """

    summary: str
    example: str
    lists: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    with_invocation: bool = False
    more_examples: tuple[str, ...] = ()


COMMANDS = {
    "train": Command(
        "Train a classifier and score its best checkpoint",
        "data=ham10000 model=effnet_b3 loss=focal",
        more_examples=("-m loss=ce,focal seed=0,1,2 data=ham10000", "-m sweep=folds data=folder data.root=DIR"),
        with_invocation=True,
    ),
    "pretrain": Command(
        "Pretrain a backbone on images without labels",
        "data=ham10000 ssl=simclr",
        more_examples=("data=images data.root=DIR ssl=byol", "data=ham10000 ssl=dino trainer.max_epochs=100"),
    ),
    "predict": Command(
        "Predict the classes of images with a trained classifier",
        "ckpt=RUN input=FOLDER output=FILE.csv",
        more_examples=(
            "ckpt=RUN input=FOLDER output=FILE.csv tta=d4",
            "ckpt=FILE.bundle input=TABLE.csv output=FILE.csv threshold=f1",
        ),
    ),
    "evaluate": Command(
        "Compute every metric with its interval from predictions",
        "predictions=RUN output=DIR",
        more_examples=(
            "predictions=A,B output=DIR reference=A",
            "predictions=TABLE.csv labels=LABELS.csv 'positive=[mel]' output=DIR",
        ),
        with_invocation=True,
    ),
    "ensemble": Command(
        "Combine systems and compare the ensemble with its members",
        "runs=A,B output=DIR",
        more_examples=("runs=A,B,C method=weighted output=DIR", "runs=SWEEP,TABLE.csv output=DIR search=null"),
        with_invocation=True,
    ),
    "bundle": Command(
        "Pack a classifier with its calibrator, thresholds and input gate into one file",
        "ckpt=RUN output=FILE.bundle",
        more_examples=(
            "'ckpt=[A,B]' output=FILE.bundle calibrator=temperature",
            "ckpt=RUN output=FILE.onnx format=onnx",
        ),
    ),
    "tta": Command(
        "Compare test-time augmentations of a run and their cost",
        "ckpt=RUN output=DIR",
        more_examples=("ckpt=RUN output=DIR 'tta=[d4]'", "ckpt=RUN output=DIR 'tta=[flips]' split=test"),
        aliases={"views": "tta"},  # conf/views is a config group of pretrain
        with_invocation=True,
    ),
    "mine": Command(
        "Rank unlabeled images for annotation",
        "ckpt=RUN output=DIR",
        more_examples=("ckpt=RUN output=DIR n=50 by=uncertainty", "ckpt=RUN output=DIR input=FOLDER 'positive=[mel]'"),
        with_invocation=True,
    ),
    "fetch": Command(
        "Download a data set, unpack it and put it in its place",
        "data=ham10000 accept_license=true",
        more_examples=("data=isic2019 data.root=DIR accept_license=true", "data=ph2"),
        with_invocation=True,
    ),
    "submit": Command(
        "Check a submission to a challenge, expect its F1, and keep a log",
        "check=FILE.csv data=dsm2025 predictions=SWEEP",
        more_examples=(
            "check=FILE.csv data=dsm2025 sample=SAMPLE.csv",
            "check=FILE.csv data=dsm2025 predictions=SWEEP score=0.571",
        ),
    ),
    "doctor": Command(
        "Show what is installed, devices, data, weights and disk space",
        "",
        more_examples=("data_home=DIR", "min_free_gb=50"),
    ),
    "audit": Command(
        "Check the images of a data set and show its split",
        "data=ham10000 data.root=DIR",
        more_examples=("data=folder data.root=DIR contact_sheet=FILE.png", "data=ham10000 leak_meter=true"),
        with_invocation=True,
    ),
    "shift": Command(
        "Probe a model with other clinics' images, corruptions, artefacts and occlusions",
        "ckpt=RUN data=ph2 class_map=CLASSES.csv output=DIR",
        more_examples=("ckpt=RUN output=DIR probes=acquisition", "ckpt=FILE.bundle home=RUN output=DIR n_images=500"),
        with_invocation=True,
    ),
    "study": Command(
        "Compare ways to use unlabeled images over label budgets and seeds",
        "data=ham10000 output=DIR",
        more_examples=(
            "data=ham10000 output=DIR plan=true",
            "data=ham10000 output=DIR 'arms=[A,A+,C,D]' 'budgets=[0.05,0.2]'",
        ),
        lists=("base", "base_pretrain", "base_train"),
        with_invocation=True,
    ),
}


def settings_model(name: str) -> type[Settings]:
    """Return the model of the settings of a command."""
    model: type[Settings] = getattr(import_module(f"skinlab.settings.commands.{name}"), f"{name.title()}Settings")
    return model


def list_settings(name: str) -> list[str]:
    """Return the settings of a command that may be written as ``name=A,B``, which Hydra would take for a sweep."""
    from skinlab.settings.base import walk
    from skinlab.settings.types import AsList

    fields = walk(settings_model(name))
    return [each for each, _, marks in fields if any(isinstance(mark, AsList) for mark in marks)]


def load(name: str) -> Callable[..., Any]:
    """Import the function of a command; torch may come with it, so it waits until the config has been checked."""
    function: Callable[..., Any] = getattr(import_module(f"skinlab.commands.{name}"), name)
    return function


def call(name: str, settings: Settings, invocation: Invocation) -> Any:
    """Load the function of a command, check the arguments of what it builds, and call it."""
    from skinlab.cli.early_checks import check_early
    from skinlab.cli.plugins import check_plugins
    from skinlab.settings.part import check_parts

    check_early(name, settings)
    check_plugins(settings)
    function = load(name)
    check_parts(settings.parts())
    return function(settings, invocation) if COMMANDS[name].with_invocation else function(settings)
