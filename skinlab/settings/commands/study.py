"""The settings of ``skinlab.study``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from skinlab.errors import nearest
from skinlab.settings.base import Settings
from skinlab.settings.command import CommandSettings, EvidenceSettings
from skinlab.settings.data import DataSettings
from skinlab.settings.groups import ModelSettings, SemiSettings, SslSettings, TrainerSettings
from skinlab.settings.part import Part
from skinlab.settings.types import (
    AsList,
    Count,
    Names,
    NamesOrEmpty,
    NotNegative,
    Number,
    Positive,
    Share,
    Text,
    path_to,
)

Overrides = Annotated[list[str], AsList()]
WholeNumber = Annotated[int, Field(ge=0)]
EXAMPLES = {"budgets": "[0.05,0.2,1.0]", "seeds": "[0,1,2]", "folds": "[0]"}


class PowerSettings(Settings):
    """The assumptions of a power analysis: two systems, and numbers of test images."""

    positives: Annotated[int, Field(ge=2)] | None
    negatives: Annotated[int, Field(ge=2)] | None
    auroc: Number
    correlation: Number
    seed_sd: NotNegative | dict[Positive, NotNegative]

    def mistakes(self) -> Iterator[str]:
        """Yield the mistake of setting only one of the two numbers that belong together."""
        if (self.positives is None) != (self.negatives is None):
            yield "power: give both power.positives=N and power.negatives=N, numbers of test images from 2 on"


class OverrideSettings(Settings):
    """The overrides of every run, of every pretraining and of every training."""

    both: list[str]
    pretrain: list[str]
    train: list[str]


class RecipeSettings(Settings):
    """An arm: its overrides, what it has to beat for a verdict on the pool, and what it is compared with beside."""

    title: Text
    pretrain: list[str] | None = None
    train: list[str]
    long: bool | None = None
    needs_pool: Literal["pretrain", "train"] | None = None
    without_pool: Text | None = None
    controls: list[str] | None = None
    against: list[str] | None = None

    @property
    def others(self) -> list[str]:
        """The arms that it is compared with."""
        return [*filter(None, [self.without_pool]), *(self.controls or []), *(self.against or [])]


class StudySettings(EvidenceSettings, CommandSettings):
    """The settings of a study."""

    data: DataSettings
    model: ModelSettings
    trainer: TrainerSettings
    ssl: SslSettings
    semi: SemiSettings
    output: Annotated[Text, path_to("a folder", "output=DIR")] | None
    budgets: list[Number]
    seeds: list[WholeNumber]
    folds: list[WholeNumber]
    arms: Names
    epochs: Count
    pretrain_epochs: Count
    pretrain_views: Count | None
    probe_share: Annotated[Share, Field(lt=1)]
    validations: Count
    base: Overrides
    base_pretrain: Overrides
    base_train: Overrides
    compare_by: NamesOrEmpty
    judge_by: Text
    reports: bool
    jobs: Count
    launcher: Text | None
    plan: bool
    power: PowerSettings
    words: OverrideSettings
    recipes: dict[str, RecipeSettings]

    @property
    def metrics(self) -> list[str]:
        """The metrics of the report, that of the verdict first."""
        return list(dict.fromkeys([self.primary, *self.compare_by]))

    @property
    def primary(self) -> str:
        """The metric of the verdict, the primary endpoint of the study."""
        return self.endpoint or self.judge_by

    @property
    def n_trainings(self) -> int:
        """The number of trainings of an arm."""
        return len(self.folds) * len(self.seeds)

    def mistakes(self) -> Iterator[str]:
        """Yield what makes a study impossible, such as an unknown arm."""
        yield from super().mistakes()
        if self.hypothesis != "superiority" or self.margin:
            yield "hypothesis, margin: a study tests whether arms are better, by any margin; leave both out"
        for name, example in EXAMPLES.items():
            values = getattr(self, name)
            if not values:
                yield f"{name}=[]: give one or more, such as {name}={example}"
            elif len(set(values)) < len(values):
                yield f"{name}={listed(values)}: one is there twice; give each once"
        for arm in self.arms:
            if arm not in self.recipes:
                hint = nearest(arm, self.recipes)
                yield f"arms: {arm} is none of {', '.join(self.recipes)}{hint}; more are added to recipes in study.yaml"
        for arm, recipe in self.recipes.items():
            for other in recipe.others:
                if other not in self.recipes or other == arm:
                    yield f"recipes.{arm}: {other} is no other arm{nearest(other, self.recipes)}; name one of recipes"
        for budget in self.budgets:
            if not budget > 0 or (budget > 1 and budget % 1):
                yield f"budgets: {budget} is no budget; give shares in (0, 1], or whole numbers of images above 1"
        if self.budgets and min(self.budgets) < 1 < max(self.budgets):
            yield f"budgets={listed(self.budgets)}: give all as shares, or all as numbers of images"
        if self.folds and max(self.folds) >= self.data.n_folds:
            n = self.data.n_folds
            yield f"folds={listed(self.folds)}: there are {n}, from 0 to {n - 1} (data.n_folds)"
        if self.semi.name == "none":
            yield "semi=none: name the semi-supervision of the arms E and F, such as semi=fixmatch"

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}


def listed(values: Sequence[Any]) -> str:
    """Return values as an override has them."""
    return f"[{','.join(map(str, values))}]"
