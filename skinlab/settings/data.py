"""The settings of a data set: ``data=``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field

from skinlab.settings.base import MayDiffer
from skinlab.settings.part import Part
from skinlab.settings.types import Count, CountOrZero, Names, Number, Share, Text, Workers, path_to

Cache = Literal["none", "ram", "disk"]
ColourConstancy = Literal["none", "shades_of_gray"]
Artefact = Literal["ink", "ruler", "hair", "bubbles"]
Device = Literal["polarised", "videoscope", "contact", "slide"]
Diagnosis = Literal["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]


class ReaderSettings(Part):
    """What reads a data set into a manifest, with its arguments."""

    root: Annotated[Text, MayDiffer(resumed=True)]


class DataSettings(Part):
    """A data set, its split and its loaders. A choice may have more settings, which are arguments of its reader."""

    model_config = ConfigDict(extra="allow")

    name: Text
    root: Annotated[Text, path_to("a folder", "data.root=DIR"), MayDiffer(resumed=True)]
    reader: ReaderSettings
    label_map: dict[Any, Any] | None
    classes: Names | None
    positive: Names | None
    image_size: Count | None
    fit: Literal["crop", "stretch"]
    colour_constancy: ColourConstancy
    fold: Annotated[int | None, MayDiffer(recipe=True)]
    n_folds: Annotated[int, Field(ge=2)]
    test_fraction: Annotated[Number, Field(ge=0, lt=1)]
    split: Literal["random", "source"]
    split_seed: Annotated[int, Field(ge=0)]
    label_budget: Annotated[Number, Field(gt=0)]
    budget_seed: Annotated[int, Field(ge=0)]
    labels: Annotated[Text, path_to("a table of labels", "data.labels=FILE.csv")] | None
    exclude: Annotated[Text, path_to("a table of images", "data.exclude=FILE.csv")] | None
    artefacts: Annotated[
        Annotated[Text, path_to("a table of artefacts", "data.artefacts=FILE.csv")] | None,
        MayDiffer(resumed=True, recipe=True),
    ]
    on_bad_image: Literal["error", "drop"]
    batch_size: Count
    num_workers: Annotated[Workers, MayDiffer(resumed=True, recipe=True)]
    cache: Annotated[Cache, MayDiffer(resumed=True, recipe=True)]
    cache_dir: Annotated[
        Annotated[Text, path_to("a folder", "data.cache_dir=DIR")] | None, MayDiffer(resumed=True, recipe=True)
    ]
    # data=folder
    groups: Annotated[Text, path_to("a table of groups", "data.groups=groups.csv")] | None = None
    # data=table
    table: Annotated[Text, path_to("a table", "data.table=FILE.csv")] | None = None
    columns: dict[str, Text | None] | None = None
    # data=phantom
    layout: Literal["ham10000", "dsm2025"] | None = None
    n_images: Annotated[int, Field(ge=7)] | None = None  # one of each diagnosis
    phantom_size: Annotated[int, Field(ge=32, le=1024)] | None = None
    phantom_seed: CountOrZero | None = None
    artefact_bias: dict[Artefact, dict[Diagnosis, Share]] | None = None
    device_bias: dict[Device, dict[Diagnosis, Share]] | None = None
    n_positive: Count | None = None
    n_negative: Count | None = None
    n_unlabeled: Count | None = None
    min_lesions: Count | None = None
    n_test: Count | None = None

    def mistakes(self) -> Iterator[str]:
        """Refuse a fold that the split can't have."""
        if self.fold is not None and not 0 <= self.fold < self.n_folds:
            yield f"data.fold={self.fold} is out of range: with data.n_folds={self.n_folds} use 0 to {self.n_folds - 1}"
        devices = self.device_bias or {}
        for dx in sorted({dx for rates in devices.values() for dx in rates}):
            shares = [rates[dx] for rates in devices.values() if dx in rates]
            if sum(shares) > 1 or (len(shares) == len(get_args(Device)) and sum(shares) < 1):
                yield f"data.device_bias: the shares of {dx} add up to {sum(shares):g}; they are parts of 1"
