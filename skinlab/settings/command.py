"""The settings that several commands share, and how a command was called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from skinlab.errors import UserError
from skinlab.settings.base import MayDiffer, Settings
from skinlab.settings.types import (
    AsList,
    Count,
    Names,
    NamesOrEmpty,
    NotNegative,
    Number,
    Text,
    Workers,
    path_to,
    read_names,
)

T = TypeVar("T", int, float)
Split = Literal["auto", "val", "test"]
# One of which the first that a table has counts.
ColumnName = Text | Annotated[list[Text], Field(min_length=1)]
DecideBy = Literal["balanced_accuracy", "accuracy", "f1_macro"]


@dataclass(frozen=True)
class Invocation:
    """The command line of a command.

    Attributes:
        overrides: as typed, without those of Hydra.
        choices: config group → chosen file.
        compose: returns the settings of another command with some overrides; raises UserError where there is a mistake.
        command: as typed, without secrets, such as ``python -m skinlab.train data=phantom``.
        printed: run directory of an earlier job of the same sweep, whose results are on the terminal; "" for none.
        pages_later: whether evidence, pages and picture are left to the end of all jobs of a sweep or study.
    """

    overrides: Sequence[str]
    choices: Mapping[str, str]
    compose: Callable[[str, Sequence[str]], Any]
    command: str = ""
    printed: str = ""
    pages_later: bool = False


class CommandSettings(Settings):
    """The settings of a command: beside its own the plugins that it has imported."""

    plugins: Annotated[NamesOrEmpty, MayDiffer(resumed=True, recipe=True)]


def required(example: str) -> BeforeValidator:
    """Return a validator that refuses an empty setting, and true or false, with an example of what to set."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if value in (None, "", []):
            raise UserError(f"{info.field_name}= is missing: set {info.field_name}={example}")
        if isinstance(value, bool):
            raise ValueError(f"a path is expected, as in {info.field_name}={example}")
        return value

    return BeforeValidator(check)


class WorkerSettings(CommandSettings):
    """How many processes load images; ``auto`` leaves one core to the network."""

    num_workers: Workers


class DeviceSettings(WorkerSettings):
    """Where a network predicts."""

    device: Literal["auto", "cpu", "cuda"]


class LoadingSettings(DeviceSettings):
    """How images that may be damaged are predicted."""

    batch_size: Count
    on_bad_image: Literal["error", "drop"]


def _rising(values: list[T]) -> list[T]:
    """Refuse numbers that are not in order."""
    if values != sorted(set(values)):
        raise ValueError("give rising numbers")
    return values


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class EvidenceSettings(Settings):
    """Metrics with intervals, thresholds and calibration, from predictions alone."""

    positive: Names | None
    prevalence: Annotated[Number, Field(gt=0, lt=1)] | None
    thresholds: NamesOrEmpty
    metadata: Annotated[Text, path_to("a table", "metadata=FILE.csv")] | None
    subgroups: NamesOrEmpty | None
    units: Annotated[list[Literal["image", "lesion", "patient"]], BeforeValidator(read_names), AsList()] | None
    age_bands: Annotated[list[Annotated[int, Field(gt=0, le=120)]], AfterValidator(_rising)]
    cost_ratio: Annotated[Number, Field(gt=0)]
    decide: Text
    decide_by: DecideBy
    calibration: bool
    net_benefit_at: Annotated[
        list[Annotated[Number, Field(gt=0, lt=1)]], BeforeValidator(_as_list), AfterValidator(_rising), AsList()
    ]
    saliency: bool | Literal["auto"]
    n_draws: Annotated[Count, Field(ge=100)]
    level: Annotated[Number, Field(gt=0.5, lt=1)]
    seed: Annotated[int, Field(ge=0)]
    endpoint: Text | None
    hypothesis: Literal["superiority", "noninferiority", "equivalence"]
    margin: NotNegative | None

    def mistakes(self) -> Iterator[str]:
        """Yield the mistakes of a claim without a metric or a margin."""
        if self.hypothesis != "superiority" and not self.margin:
            yield f"hypothesis={self.hypothesis} needs a margin: set margin=0.02 or the like, in units of the endpoint"
        if self.margin and self.endpoint is None:
            yield f"margin={self.margin:g} needs the metric in whose units it is: set endpoint=auroc_macro or another"


class EvaluationCommandSettings(EvidenceSettings, CommandSettings):
    """The settings of a command that writes evidence into ``output``."""

    output: Annotated[Text, required("DIR")]
    overwrite: bool
    apply_thresholds: Annotated[Text, path_to("a file of thresholds", "apply_thresholds=FILE.json")] | None
    apply_decision: Annotated[Text, path_to("a file of a rule", "apply_decision=FILE.json")] | None
    cross_fit: bool
    compare_by: NamesOrEmpty | None
    wandb: bool


class TableSettings(Settings):
    """How tables of predictions and of labels are read, and what their systems are called."""

    names: Names | None
    labels: Annotated[Text, path_to("a table of labels", "labels=FILE.csv")] | None
    on_label_conflict: Literal["error", "labels"]
    missing: Literal["error", "drop"]
    columns: dict[str, ColumnName | dict[str, ColumnName] | None]
    label_map: dict[Any, Any] | None
