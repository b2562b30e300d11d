"""Say where a setting that a command does not have belongs: another place, choice or command, or another spelling."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from skinlab.cli.conf_comments import settings_of_file
from skinlab.cli.help import choices_of, group_settings, read_groups
from skinlab.cli.registry import COMMANDS
from skinlab.errors import nearest, some

# What other frameworks call a setting.
SYNONYMS = {
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "batch_size": "data.batch_size",
    "wd": "optimizer.weight_decay",
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "workers": "data.num_workers",
    "resolution": "data.image_size",
    "image_size": "data.image_size",
    "folds": "data.n_folds",
    "data_dir": "data.root",
    "dataset": "data",
    "backbone": "model",
    "arch": "model",
    "network": "model",
    "pretrained": "model.init",
    "criterion": "loss",
    "gpus": "trainer.devices",
    "augmentation": "augment",
    "output_dir": "output",
    "out": "output",
    "checkpoint": "ckpt",
    "metric": "compare_by",
    "metrics": "compare_by",
    "logger.wandb.mode": "logger.wandb.offline",
    "image": "input",
    "images": "input",
}
INSTEAD = {"model": "ckpt"}  # of a command without a group of this name
# What the field calls a choice of a group, with what it is here.
CHOICES = {
    "sampler": {
        **dict.fromkeys(("balanced", "class_balanced", "class_aware"), "weighted, which is balanced sampling"),
        **dict.fromkeys(("oversample", "oversampling", "weighted_random"), "weighted, which oversamples rare classes"),
        **dict.fromkeys(("random", "uniform", "shuffle", "instance"), "none, every image once an epoch"),
    },
    "loss": {
        **dict.fromkeys(("cross_entropy", "crossentropy", "xent", "softmax", "nll"), "ce"),
        **dict.fromkeys(("bce", "binary_cross_entropy"), "ce, the softmax cross-entropy, also of two classes"),
        **dict.fromkeys(("wce", "weighted", "weighted_cross_entropy"), "weighted_ce"),
        **dict.fromkeys(("cb", "cb_loss", "effective_number"), "class_balanced"),
        **dict.fromkeys(("la", "logit_adjustment", "logit_adjust"), "logit_adjusted"),
        **dict.fromkeys(("bsm", "bal_softmax"), "balanced_softmax"),
        "asl": "asymmetric",
    },
    "augment": {
        **dict.fromkeys(("strong", "randaugment", "rand_augment", "trivialaugment", "trivial_augment"), "heavy"),
        **dict.fromkeys(("weak", "basic", "simple", "flips"), "light"),
        **dict.fromkeys(("off", "no", "false"), "none"),
    },
    "ssl": {
        **dict.fromkeys(("mocov2", "moco_v2", "mocov3", "moco_v3"), "moco"),
        **dict.fromkeys(("dinov1", "dino_v1"), "dino"),
        **dict.fromkeys(("barlow", "bt"), "barlow_twins"),
    },
}
RUN_DIR = ("output", "output_dir", "out", "run_dir", "save_dir")  # of a command that trains: hydra.run.dir


def place_of(key: str, command: str, known: Iterable[str]) -> str:
    """Return a hint for a key that the config of a command does not have; empty where nothing is like it.

    Args:
        key: as typed, such as ``lr`` or ``loss.gama``.
        command: its name.
        known: the dotted names of the composed config, and its groups.
    """
    known = sorted(name for name in known if not name.rpartition(".")[2].startswith("_"))
    group, _, leaf = key.rpartition(".")
    if key in RUN_DIR and "output" not in known and "trainer" in known:
        return " (did you mean hydra.run.dir?)"
    if f"{key}s" in known:
        return f" (did you mean {key}s?)"
    if (meant := SYNONYMS.get(key) or INSTEAD.get(key)) in known:
        return f" (did you mean {meant}?)"
    synonym = SYNONYMS.get(leaf, "")
    if group and synonym in known and synonym.startswith(f"{group}."):
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.9)
        return f" (did you mean {' or '.join(dict.fromkeys([synonym, *close]))}?)"
    if same := sorted((name for name in known if name.rpartition(".")[2] == key), key=lambda name: name.count(".")):
        return f" (did you mean {' or '.join(same[:2])}?)"
    owners = {name: choices for name, choices in _owners(command).items() if name not in known}
    if same := [name for name in owners if name == key or (not group and name.rpartition(".")[2] == leaf)]:
        return _belongs(same[0], owners)
    if elsewhere := [f"skinlab.{name}" for name in COMMANDS if name != command and key in _names(name)]:
        return f"; it belongs to {some(elsewhere)}"
    beside = [name for name in (*known, *owners) if name.rpartition(".")[0] == group] if group else []
    match = difflib.get_close_matches(key, beside or [*known, *owners], n=1, cutoff=0.6)
    if match and match[0] in owners:
        return _belongs(match[0], owners)
    return nearest(key, match or known)


def choice_meant(group: str, choice: str) -> str:
    """Return a hint for what the field calls a choice of a group; "" where it is no such name.

    >>> choice_meant("sampler", "Balanced"), choice_meant("loss", "fokal")
    (' (did you mean weighted, which is balanced sampling?)', '')
    """
    meant = CHOICES.get(group, {}).get(choice.lower().replace("-", "_"))
    return f" (did you mean {meant}?)" if meant else ""


def _belongs(name: str, owners: Mapping[str, Sequence[str]]) -> str:
    return f"; {name.rpartition('.')[2]} belongs to {some(owners[name])}"


@cache
def _owners(command: str) -> Mapping[str, Sequence[str]]:
    """Return the dotted names of the settings of all choices of a command's groups, with the choices that have them."""
    owners: dict[str, list[str]] = {}
    for group in read_groups(command).chosen:
        for choice in choices_of(group):
            for name in group_settings(group, choice):
                owners.setdefault(f"{group}.{name}", []).append(f"{group}={choice}")
    return owners


@cache
def _names(command: str) -> frozenset[str]:
    """Return the groups of a command, and its settings outside of groups."""
    groups = read_groups(command)
    own = [each.name for path in groups.files for each in settings_of_file(path)]
    return frozenset([*groups.chosen, *own, *(name.partition(".")[0] for name in own)]) - {"run_dir", "hydra"}
