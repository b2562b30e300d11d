"""The settings of ``skinlab.shift``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from skinlab.errors import nearest
from skinlab.settings.command import CommandSettings, Split, required
from skinlab.settings.data import DataSettings
from skinlab.settings.part import Part
from skinlab.settings.types import Count, Names, Number, Places, Text, path_to


def _no_data(value: Any) -> Any:
    """Return None where no data set was chosen."""
    return None if isinstance(value, dict) and "name" not in value else value


class ShiftSettings(CommandSettings):
    """``conf/shift.yaml``."""

    ckpt: Annotated[Text, required("RUN")]
    output: Annotated[Text, required("DIR")]
    overwrite: bool
    data: Annotated[DataSettings | None, BeforeValidator(_no_data)]
    class_map: Annotated[Text, path_to("a table of classes", "class_map=FILE.csv")] | None
    left_out: Annotated[Text, path_to("a sweep", "left_out=SWEEP")] | None
    mitigations: Places | None
    home: Annotated[Text, path_to("a run", "home=RUN")] | None
    split: Split
    n_images: Count | None
    positive: Names | None
    threshold: Text
    artefacts: Annotated[Text, path_to("a table of artefacts", "artefacts=FILE.csv")] | None
    probes: Names
    probe: dict[str, Part]
    device: Literal["auto", "cpu", "cuda"]
    level: Annotated[Number, Field(gt=0.5, lt=1)]
    seed: Annotated[int, Field(ge=0)]

    @property
    def chosen(self) -> dict[str, Part]:
        """The probes to run, by their names, in the order of the config."""
        return {name: part for name, part in self.probe.items() if self.probes == ["all"] or name in self.probes}

    def mistakes(self) -> Iterator[str]:
        """Yield unknown probes, and a table of classes without an outside data set."""
        for name in self.probes:
            if name not in self.probe and self.probes != ["all"]:
                yield f"probes: {name} is none of {', '.join(self.probe)}{nearest(name, self.probe)}"
        if self.class_map is not None and self.data is None:
            yield f"class_map={self.class_map} maps the classes of an outside data set: choose one, such as data=ph2"

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        found = {f"probe.{name}": part for name, part in self.chosen.items()}
        return found if self.data is None else found | {"data.reader": self.data.reader}
