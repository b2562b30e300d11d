"""The bench's table: medians, spread, limits and the machine."""

import pytest

from tests.bench import measure
from tests.bench.measure import Row, cpu_ratios, quotient, report, write_table


def test_the_median_keeps_a_limit_from_below_or_above():
    assert Row("a", (0.5, 1.0, 3.0), 1.0, least=True, unit="").kept
    assert not Row("a", (0.5, 1.0, 3.0), 0.9, least=False, unit=" s").kept
    assert Row("a", (0.5, 1.0, 3.0), 1, least=False, unit=" s").spread == "0.50 to 3.00"
    assert Row("a", (0.5,), 1, least=False, unit=" s").spread == ""


def test_works_take_turns_and_the_first_turn_does_not_count():
    turns = []
    took = cpu_ratios({"a": lambda n: turns.append(("a", n)), "b": lambda n: turns.append(("b", n))}, repeats=2)
    assert turns == [(name, number) for number in range(3) for name in "ab"]
    assert [len(each) for each in took.values()] == [2, 2]
    assert quotient([1.0, 4.0], [2.0, 2.0]) == [0.5, 2.0]
    with pytest.raises(ValueError, match="argument 2"):
        quotient([1.0], [2.0, 2.0])


def test_what_is_reported_is_written_with_the_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "ROWS", [])
    report("reading", [1.0, 2.0, 4.0], 3, least=True)
    report("drawing", 7.0, 10, least=False, unit=" s")
    assert capsys.readouterr().out.startswith("MISS  reading ")
    write_table(tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert lines[-2:] == [
        "| reading | 2.00 | 1.00 to 4.00 | ≥ 3 | no |",
        "| drawing | 7.00 s |  | ≤ 10 s | yes |",
    ]
    assert any(f"torch {measure.metadata.version('torch')}" in line for line in lines)
