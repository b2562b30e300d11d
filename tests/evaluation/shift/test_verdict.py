"""The verdict names what breaks first, what helps, and sets what was found beside published effects."""

from typing import Any

from skinlab.evaluation.shift.verdict import verdict


def probe(title: str, **changes: Any) -> Any:
    empty = {"status": "run", "reason": "", "flags": [], "conditions": [], "outcome": [], "published": ""}
    return {"title": title} | empty | changes


def condition(name: str, **changes: float | None) -> dict[str, Any]:
    found = {
        metric: {"difference": {"value": value, "low": None, "high": None}, "p": 0.5}
        for metric, value in changes.items()
    }
    return {"name": name, "dose": "severity 2", "changes": found}


def test_the_largest_harm_stands_beside_what_was_published():
    conditions = [
        condition("blur", sensitivity=-0.1, specificity=0.2),
        condition("dark", sensitivity=-0.3, specificity=None),
        condition("light", sensitivity=0.1, specificity=0.1),
    ]
    flagged = probe("Who", published="x", flags=[{"level": "watch", "sentence": "Women differ.", "size": 1.0}])
    probes = [
        probe("Light", published="Blur harms.", conditions=conditions),
        flagged,
        probe("Quiet", published="y"),
        probe("Skipped", published="z", status="not run", reason="no images"),
        probe("Unpublished"),
    ]
    found = verdict(probes, None, None)
    assert [(each["title"], each["here"]) for each in found["beside"]] == [
        ("Light", "sensitivity \N{MINUS SIGN}0.300, dark, severity 2"),
        ("Who", "Women differ."),
        ("Quiet", "no change for the worse"),
        ("Skipped", "not run"),
    ]
    assert found["holds"] == ["Light", "Quiet", "Unpublished"]
    assert found["not_run"] == ["Skipped: no images"]


def test_a_comparison_of_trainings_neither_holds_nor_breaks():
    found = verdict([probe("Mitigations", outcome=["b helps."])], None, None)
    assert found["trainings"] == ["b helps."]
    assert not found["holds"]
