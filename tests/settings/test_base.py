"""Settings are refused in one line that names every mistake, and are what they were created from."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from skinlab.errors import UserError
from skinlab.settings.base import MayDiffer, Settings, create, is_among, names_that_may_differ
from skinlab.settings.types import Count, Names, NamesOrEmpty, Number, Share, Text, Workers


class Probe(Settings):
    every: Annotated[int, Field(ge=0)]
    metric: Annotated[Literal["knn", "linear"], MayDiffer(resumed=True)]
    most: Count | Literal["all"]
    smoothing: Number | None = None


class Demo(Settings):
    probe: Annotated[Probe, MayDiffer(recipe=True)]
    share: Share
    output: Text
    progress: bool
    workers: Workers
    classes: Names | None
    rules: NamesOrEmpty

    def mistakes(self) -> Iterator[str]:
        if self.share == 1 and self.workers == 1:
            yield "share=1, workers=1: not together; change one"


CONFIG: dict[str, Any] = {
    "probe": {"every": 2, "metric": "knn", "most": "all"},
    **{"share": 1, "output": "here", "progress": True, "workers": 0, "classes": None, "rules": []},
}
MISTAKES = [
    ({"probe.every": 1.5}, "probe.every=1.5: a whole number is expected"),
    ({"probe.every": True}, "probe.every=true: a whole number is expected"),
    ({"probe.every": -1}, "probe.every=-1: a number of at least 0 is expected"),
    ({"probe.every": None}, "probe.every=null: a whole number is expected"),
    ({"probe.metric": "knnn"}, "probe.metric=knnn: knn or linear is expected (did you mean knn?)"),
    ({"probe.most": 0}, "probe.most=0: a number of at least 1 or all is expected"),
    ({"probe.smoothing": "x"}, "probe.smoothing=x: a number is expected"),
    ({"probe.metrik": 1}, "probe.metrik: no such setting (did you mean probe.metric?); probe has every, metric"),
    ({"outputs": 1}, "outputs: no such setting (did you mean output?); --cfg job shows them all"),
    ({"share": 1.2}, "share=1.2: a number of at most 1 is expected"),
    ({"share": False}, "share=false: a number is expected"),
    ({"progress": "perhaps"}, "progress=perhaps: true or false is expected"),
    ({"output": ["a", 1]}, "output=[a,1]: text is expected"),
    ({"workers": -1}, "workers=-1: give auto or a number of processes, 0 or more"),
    ({"classes": []}, "classes=[]: the list is empty; name one or more, or leave it out"),
    ({"classes": ["a", "a"]}, "classes=[a,a]: a is named twice; name each once"),
    ({"workers": 1}, "share=1, workers=1: not together; change one"),
    ({"probe": 3}, "probe=3: a group of settings is expected"),
]


@pytest.mark.parametrize(("values", "line"), MISTAKES)
def test_a_mistake_is_refused_in_one_line(values, line):
    with pytest.raises(UserError) as refused:
        create(Demo, CONFIG).updated(values)
    assert str(refused.value).startswith(line)


def test_every_mistake_is_named_at_once():
    with pytest.raises(UserError) as refused:
        create(Demo, CONFIG | {"share": 2, "progress": 1, "colour": "red", "probe": {"every": 1, "metric": "knn"}})
    assert str(refused.value) == (
        "probe.most is missing; set probe.most=…; share=2: a number of at most 1 is expected; progress=1: true or "
        "false is expected; colour: no such setting; --cfg job shows them all"
    )


def test_settings_are_what_they_were_created_from_and_stay_it():
    demo = create(Demo, CONFIG)
    assert demo.dump() == CONFIG
    assert (type(demo.share), demo.probe.smoothing) == (int, None)
    with pytest.raises(ValidationError, match="frozen"):
        demo.share = 0.5
    assert demo.updated({"probe.every": 3, "classes": 1, "output": 7}).dump() == CONFIG | {
        **{"probe": CONFIG["probe"] | {"every": 3}, "classes": ["1"], "output": "7"},
    }


def test_what_may_differ_is_declared_on_the_field():
    assert names_that_may_differ(Demo, "resumed") == ["probe.metric"]
    assert names_that_may_differ(Demo, "recipe") == ["probe"]
    assert is_among("probe.every", ["probe"])
    assert not is_among("probes", ["probe"])
