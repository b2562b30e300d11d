"""Which runs are of one recipe, seeds and folds aside, and what tells several runs apart."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from skinlab.settings.base import is_among, names_that_may_differ
from skinlab.settings.choices import FINETUNE, GROUPS, choice_of, finetune_of, given_by
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.recorded import leaves

MAX_SETTINGS = 3  # in a name; of more those are left out that only repeat another one, but no choice of a group
SEEDS = ("seed", "data.fold")  # tell apart runs of one recipe


def recipe_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run shares with the other seeds and folds of its recipe: dotted name → value."""
    may_differ = names_that_may_differ(TrainSettings, "recipe")
    return {name: value for name, value in leaves(config) if not is_among(name, may_differ)}


def by_recipe(configs: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the numbers of the configs of each recipe, in their order."""
    recipes: dict[str, list[int]] = {}
    for i, config in enumerate(configs):
        recipes.setdefault(json.dumps(recipe_of(config), sort_keys=True, default=str), []).append(i)
    return list(recipes.values())


def tell_apart(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tells each run from the others, as it would be set; "" where nothing recorded does.

    A group whose choice differs comes first (``loss=focal``), then other settings (``data.image_size=64``); for runs
    of one recipe seed and fold.

    Args:
        configs: as the runs recorded them.
    """
    rows: list[dict[str, str]] = [{} for _ in configs]
    recipes = [recipe_of(config) for config in configs]
    choices = {group: [choice_of(group, config.get(group)) for config in configs] for group in GROUPS}
    choices["finetune"] = [finetune_of(config) for config in configs]
    for group, chosen in choices.items():
        if len(set(chosen)) > 1:
            for row, choice in zip(rows, chosen, strict=True):
                row |= {} if choice is None else {group: choice}
    for key in dict.fromkeys(key for recipe in recipes for key in recipe):
        values = [_written(recipe.get(key)) for recipe in recipes]
        group = "finetune" if key in FINETUNE else key.partition(".")[0]
        chosen = choices.get(group, [None] * len(configs))
        for row, value, choice in zip(rows, values, chosen, strict=True):
            # What the file of focal gives does not tell it from cross-entropy, whose name does.
            given = given_by(group, choice) if choice else {}
            is_set = key in given and _written(given[key]) != value
            alike = [other for other, own in zip(values, chosen, strict=True) if is_set or choice in (None, own)]
            row |= {key: value} if len(set(alike)) > 1 else {}
    if not any(rows):
        rows = [{key: _written(dict(leaves(config)).get(key)) for key in SEEDS} for config in configs]
        rows = [{key: value for key, value in row.items() if len({each[key] for each in rows}) > 1} for row in rows]
    kept = _without_repeats(rows, set(choices))
    return [" ".join(f"{key}={row[key]}" for key in kept if key in row) for row in rows]


def _without_repeats(rows: Sequence[Mapping[str, str]], groups: Collection[str]) -> list[str]:
    """Return the settings of a name; of many those are left out that divide the runs as an earlier one does."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if len(keys) <= MAX_SETTINGS:
        return keys
    patterns: dict[str, str] = {}
    for key in keys:
        values = [row.get(key) for row in rows]
        patterns.setdefault(str([values.index(value) for value in values]), key)
    kept = {*patterns.values(), *groups}
    repeats = [key for key in keys if key not in kept]
    kept |= set(repeats[: max(MAX_SETTINGS - len(kept.intersection(keys)), 0)])
    return [key for key in keys if key in kept]


def _written(value: Any) -> str:
    """Return a value as it would be set, less the modules of what a ``_target_`` names.

    >>> _written(0.0001), _written(None), _written(["mel", "bcc"]), _written("skinlab.losses.focal.Focal")
    ('0.0001', 'null', '[mel,bcc]', 'Focal')
    """
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str):
        return value.rsplit(".", 1)[-1] if value.startswith("skinlab.") else value
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else f"{value:g}"
