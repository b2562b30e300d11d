"""The settings of ``skinlab.mine``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from skinlab.settings.command import LoadingSettings, required
from skinlab.settings.types import Count, Names, Number, Places, Text, path_to


class MineSettings(LoadingSettings):
    """``conf/mine.yaml``."""

    ckpt: Annotated[Places, required("RUN_OR_FILE")]
    input: Annotated[Text, path_to("a folder, a CSV or an image", "input=FOLDER")] | None
    output: Annotated[Text, required("DIR")]
    overwrite: bool
    columns: dict[str, Text | None]
    n: Count
    by: Literal["probability", "uncertainty", "diversity", "mixed"]
    positive: Names | None
    uncertainty: Literal["entropy", "margin", "least_confidence"]
    diversity: Literal["k_centre", "badge"]
    shortlist: Count
    n_train: Annotated[int, Field(ge=10)]
    alarms: Annotated[Number, Field(gt=0, lt=1)]
    find_copies: bool
    truth: Annotated[Text, path_to("a table of labels", "truth=FILE.csv")] | None
    n_draws: Annotated[int, Field(ge=20)]
    picture: Annotated[int, Field(ge=32)]
    seed: Annotated[int, Field(ge=0)]
