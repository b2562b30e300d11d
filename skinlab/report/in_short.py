"""Answer five questions of a reader in a line each: how sensitive, which threshold, how sure, better, elsewhere."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skinlab.evaluation.evidence.comparison_form import Comparison
from skinlab.evaluation.evidence.form import Evidence, System, ThresholdRow
from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.evidence.population_form import UnpairedComparison
from skinlab.evaluation.evidence.rules import called_rule, headline_rule
from skinlab.evaluation.metrics.operating_points import HALF, common_point, rule_words
from skinlab.evaluation.thresholds.choice import is_fixed
from skinlab.report.openings import overlap_sentences
from skinlab.report.operating_points import (
    against_best_member,
    applied_words,
    class_metrics,
    point_words,
    positive_metrics,
)
from skinlab.report.wording import (
    count,
    groups_in_words,
    interval,
    interval_note,
    known_split,
    over_classes,
)
from skinlab.text import quantity

MOST_SYSTEMS = 3  # that a line names
EVALUATE = "python -m skinlab.evaluate"
EVALUATING = ("skinlab.evaluate", "skinlab.ensemble", "skinlab.tta")  # commands that take the settings of an evaluation
# Their settings that do not hold for other systems.
OF_SYSTEMS = (
    *("predictions", "names", "reference", "unpaired", "runs", "method", "search", "max_size", "bundle", "ckpt"),
    *("tta", "views", "device", "batch_size", "num_workers", "on_bad_image", "hydra"),
)
# Settings that are lists, also without brackets, and what needs no quotes in them.
LISTS = ("predictions", "runs", "names", "positive", "thresholds", "subgroups", "units", "compare_by")
BARE = re.compile(r"\[[^\[\]{}'\"]+\]")
NEEDLESS = re.compile(
    r"""(?<=[\[,])(['"])((?!(?:true|false|null|nan|inf)\1)[A-Za-z/.~][\w./~ -]*|"""
    r"""(?:sensitivity|specificity|p)>=[\d.]+)\1(?=[\],])""",
    re.IGNORECASE,
)
MELANOMA = ("mel", "melanoma", "mm")  # names of the class
NO_THRESHOLD = "no threshold was chosen for it"
RATES = {"sensitivity": "recall", "specificity": "specificity", "f1_positive": "f1"}  # of the positive → of a class


@dataclass(frozen=True)
class Line:
    """A question, its answer, and the command that would answer it where the evidence does not."""

    question: str
    answer: str
    command: str = ""


def in_short(evidence: Evidence) -> list[Line]:
    """Return the five lines, from the evidence alone; the comparison first where systems were compared."""
    first = [_better(evidence)] if evidence["comparisons"] or evidence.get("best") else []
    found = [*first, _sensitivity(evidence), _threshold(evidence), _certainty(evidence)]
    return [*found, *([] if first else [_better(evidence)]), _elsewhere(evidence)]


def _again(evidence: Evidence, *more: str) -> str:
    """Return the command that evaluates the same predictions with more settings, into another folder.

    It is the command of the evidence where that evaluates, else one of the run or the table that was evaluated.
    """
    program, kept = _settings(evidence)
    return _written(program, kept | dict(each.split("=", 1) for each in more))


def _beside(evidence: Evidence, here: str, other: str, *more: str) -> str:
    """Return the command that evaluates the same predictions beside others, read as they were.

    Args:
        evidence: of the predictions.
        here: their name in the command where several files were evaluated.
        other: the others' name in the command.
        more: settings.
    """
    own, names = _kept(evidence), _settings(evidence)[1].get("names")
    if names and len(evidence["systems"]) == 1:
        own["names"] = f"[{names.strip('[]')},{other}]"
    places = {"predictions": _listed([_place(evidence, here), other])}
    return _written(EVALUATE, places | own | dict(each.split("=", 1) for each in more))


def _kept(evidence: Evidence) -> dict[str, str]:
    """Return the settings of the evidence's command that hold for other systems, too."""
    return {name: value for name, value in _settings(evidence)[1].items() if name.partition(".")[0] not in OF_SYSTEMS}


def _settings(evidence: Evidence) -> tuple[str, dict[str, str]]:
    """Return the program of the evidence's command and its settings but for the folder; of a training evaluate's."""
    words: list[str] = []
    with contextlib.suppress(ValueError):  # a quote without its other end, which a hidden secret took along
        words = shlex.split(str(evidence["provenance"].get("command") or ""))
    program = " ".join(words[:3])
    typed = {name: value for word in words[3:] for name, sign, value in [word.partition("=")] if sign}
    if program.endswith(EVALUATING):
        return program, {name: value for name, value in typed.items() if name not in ("output", "overwrite")}
    of_test = {source["split"] for system in evidence["systems"] for source in system["sources"]} == {"test"}
    place = {"predictions": _listed([_place(evidence)])} | ({"split": "test"} if of_test else {})
    own = {name.removeprefix("evidence."): value for name, value in typed.items() if name.startswith("evidence.")}
    return EVALUATE, place | own


def _written(program: str, settings: Mapping[str, str]) -> str:
    """Return a command into another folder, with quotes around what needs them alone."""
    words = [_word(name, value) for name, value in settings.items()]
    return " ".join([program, *words, "output=DIR"])


def _word(name: str, value: str) -> str:
    r"""Return a setting as a person types it: a recorded command has it in Hydra's form.

    >>> _word("predictions", "['a.csv','b.csv']"), _word("thresholds", '["p>=0.3"]')
    ('predictions=a.csv,b.csv', "'thresholds=p>=0.3'")
    >>> print(_word("columns.label", "it's dx"), _word("positive", "['1']"))
    columns.label="it's dx" positive="['1']"
    """
    value = NEEDLESS.sub(r"\2", value)
    if name in LISTS and BARE.fullmatch(value):
        value = value[1:-1]
    word = f"{name}={value}"
    if "'" in value and not set('"$`\\!') & set(value):
        return f'{name}="{value}"'
    return shlex.quote(word)


def _listed(places: Sequence[str]) -> str:
    """Return places as the value of a setting, in Hydra's quotes where one has a comma, a quote or a bracket."""
    if not any(set(place) & set(",'\"[]{}\\") for place in places):
        return ",".join(places)
    texts = (place.replace("\\", "\\\\").replace('"', '\\"') for place in places)
    return "[" + ",".join(f'"{text}"' for text in texts) + "]"


def _place(evidence: Evidence, other: str = "PREDICTIONS") -> str:
    """Return the run or table that was evaluated; `other` where several files were."""
    paths = {Path(source["path"]) for system in evidence["systems"] for source in system["sources"]}
    if len(paths) != 1:
        return other
    (path,) = paths
    return str(path.parent.parent if path.parent.name == "predictions" else path)


def _sensitivity(evidence: Evidence) -> Line:
    """State sensitivity, specificity and F1 of the positive classes, and of melanoma where these are more or none."""
    systems, classes = evidence["systems"], evidence["settings"]["classes"]
    positive, melanoma = _positive(evidence), next((name for name in classes if name.lower() in MELANOMA), None)
    of_melanoma = _each(systems, [_rates(system, melanoma) for system in systems]) if melanoma else ""
    if not positive and not melanoma:
        command = _again(evidence, f"positive={_listed([_melanoma_or_class(evidence)])}", "cross_fit=true")
        return Line("Sensitivity", "Not evaluated: no class is positive.", command)
    if not positive:
        return Line(f"Sensitivity for {melanoma}", f"{of_melanoma}.")
    answer = f"{_each(systems, _positive_rates(evidence))}."
    if melanoma in positive and len(positive) > 1:
        answer += f" For {melanoma} alone, as the {_called(systems)}: {of_melanoma}."
    return Line(f"Sensitivity for {', '.join(positive)}", answer)


def _positive_rates(evidence: Evidence) -> list[str]:
    """Return the rates of each system; without a common rule each names its threshold, and one without has none."""
    systems, rules = evidence["systems"], _rules(evidence["systems"])
    found = [_rates(system, None, rule) for system, rule in zip(systems, rules, strict=True)]
    rows = [_row(system, rule) for system, rule in zip(systems, rules, strict=True)]
    if headline_rule(systems) or not any(rows):
        return found
    missing = f"{NO_THRESHOLD}: apply_thresholds={_common_threshold(evidence)[0]}"
    return [f"{rates} ({point_words(row)})" if row else missing for rates, row in zip(found, rows, strict=True)]


def _common_threshold(evidence: Evidence) -> tuple[str, str]:
    """Return the file of thresholds to apply to all systems, and the command that applies it, or else makes it.

    The file beside the evidence can be applied if it has the thresholds of one system.
    """
    chosen = [system for system in evidence["systems"] if system.get("thresholds")]
    if len(chosen) == 1:
        place = f"{evidence['provenance']['config'].get('output', 'DIR')}/thresholds.json"
        return place, _again(evidence, f"apply_thresholds={place}")
    alone = _place({**evidence, "systems": chosen[:1]})
    return "DIR/thresholds.json", _written(EVALUATE, {"predictions": _listed([alone])} | _kept(evidence))


def _rates(system: System, of_class: str | None, rule: str | None = None) -> str:
    """Return sensitivity, specificity and F1 of a class, or of the positive ones at the threshold of a rule."""
    values = [_rate(system, name, of_class, rule) for name in RATES]
    words = [
        f"{name} {interval(value)}" for name, value in zip(("", ", specificity", ", F1"), values, strict=True) if value
    ]
    return "".join(words).strip() or "not evaluated"


def _rate(system: System, name: str, of_class: str | None, rule: str | None = None) -> Interval | None:
    metrics = class_metrics(system, called_rule([system]))[0] if of_class else positive_metrics(system, rule)[0]
    return metrics.get(f"{RATES[name]}/{of_class}" if of_class else name)


def _threshold(evidence: Evidence) -> Line:
    """Name the operating point of the sensitivity, and where it was chosen."""
    systems, question = evidence["systems"], "At which threshold"
    rows = [_row(each, rule) for each, rule in zip(systems, _rules(systems), strict=True)]
    known = [row for row in rows if row]
    if known and headline_rule(systems) is None:
        points = [point_words(row) if row else NO_THRESHOLD for row in rows]
        place, command = _common_threshold(evidence)
        return Line(question, f"{_each(systems, points)}. For all: apply_thresholds={place}.", command)
    if known:
        first = known[0]
        if is_fixed(first["rule"]):
            applied = "; ".join(dict.fromkeys(row["applied_to"] for row in known))
            return Line(question, f"{rule_words(first['rule'])}. Fixed beforehand, applied to {applied}.")
        where = (
            f"on {first['chosen_on']} ({quantity(first['positives'] or 0, 'positive')})" if "chosen_on" in first else ""
        )
        chosen = f"Chosen for {rule_words(first['rule'])} {where}, {applied_words(first['applied_to'])}"
        places = [{"value": row["threshold"], "low": row["low"], "high": row["high"]} for row in known]
        return Line(question, f"{_each(systems, [f'p ≥ {interval(place)}' for place in places])}. {chosen}.")
    if any(each["binary"] for each in systems):
        return Line(question, f"{HALF}: no threshold was chosen.", _again(evidence, "cross_fit=true"))
    command = _again(evidence, f"positive={_listed([_melanoma_or_class(evidence)])}", "cross_fit=true")
    return Line(question, f"None: the {_called(systems)} counts.", command)


def _called(systems: Sequence[System]) -> str:
    """Name the operating point of the systems' called classes; the rule that they share where it differs."""
    return common_point(class_metrics(each, called_rule([each]))[1] for each in systems) or "called class of each"


def _rules(systems: Sequence[System]) -> list[str | None]:
    """Return the rule of the headline of each system: the one that all have first, else each its own."""
    common = headline_rule(systems)
    return [common or headline_rule([system]) for system in systems]


def _row(system: System, rule: str | None) -> ThresholdRow | None:
    return next((row for row in system.get("thresholds") or [] if row["rule"] == rule), None)


def _certainty(evidence: Evidence) -> Line:
    """Say what the intervals rest on: images, groups and trainings."""
    systems, unpaired = evidence["systems"], "unpaired" in evidence
    positive = _positive(evidence) or [_melanoma_or_class(evidence)]
    counted = systems if unpaired else systems[:1]
    images = [_counts(system, positive) for system in counted]
    answer = f"{100 * evidence['settings']['level']:.4g}\u00a0% intervals in brackets, from {_each(counted, images)}."
    answer += f" {_each(systems, [_trainings(system) for system in systems], same=True)}."
    rates = [
        _rate(each, "sensitivity", None if each["binary"] else positive[0], rule)
        for each, rule in zip(systems, _rules(systems), strict=True)
    ]
    notes = [f"Sensitivity: {note}." for rate in rates if (note := interval_note(rate))]
    return Line("How sure", " ".join(dict.fromkeys([*overlap_sentences(systems), answer, *notes])))


def is_of_unknown_origin(system: System) -> bool:
    """Return whether a system is a table of which nothing beside it says by which model it was made."""
    return not system["init_used"] and not any(source["meta"] for source in system["sources"])


def _counts(system: System, positive: Sequence[str]) -> str:
    """Return how many images and groups a system is evaluated on, and the groups of the positive classes."""
    splits = dict.fromkeys(filter(None, map(known_split, system["sources"])))
    split = "out of fold" if system["pooled_folds"] else ", ".join(splits)
    groups = system.get("groups_per_class") or {}
    of = ", ".join(f"{count(groups[name])} {name}" for name in positive if name in groups)
    images = f"{quantity(system['rows'], 'image')}{f' ({split})' if split else ''}"
    return f"{images} of {groups_in_words(system)}{f', {of}' if of else ''}"


def _trainings(system: System) -> str:
    if is_of_unknown_origin(system):
        return "Of these predictions alone: how they were made is not known"
    spread = system["spread"]
    if spread and not (spread["replicate_axis"] == "fold" and system["pooled_folds"]):
        return f"{spread['n']} trainings, which the intervals count"
    if spread:
        return f"One training in each of {spread['n']} folds: of these weights, another training may differ"
    return "One training: of these weights, another training may differ"


def _better(evidence: Evidence) -> Line:
    """Report the comparison with another system."""
    question, command = "Better than another system", _beside(evidence, "THIS", "OTHER")
    if "unpaired" in evidence:
        return Line(question, "Not evaluated: each system is on other images.", command)
    if not evidence["comparisons"]:
        among = next((each["sentence"] for each in evidence.get("best", [])), "")
        return Line(question, among or "Not evaluated.", "" if among else command)
    declared = any(pair.get("role") == "primary" for pair in evidence["comparisons"])
    best = [] if declared else against_best_member(evidence)
    return Line(question, _first_result(best or evidence["comparisons"]))


def _elsewhere(evidence: Evidence) -> Line:
    """Report the comparison with other images."""
    question = "On another clinic"
    if "unpaired" not in evidence:
        settings = {name for name in _settings(evidence)[1] if name in ("labels", "metadata")}
        tables = [f"{name}={name.upper()}_OF_BOTH" for name in sorted(settings)]
        command = _beside(evidence, "HERE", "ELSEWHERE", *tables, "unpaired=true")
        return Line(question, "Not evaluated: intervals do not cover another clinic or device.", command)
    pairs = evidence["unpaired"]["comparisons"]
    if not pairs:
        return Line(question, "Not comparable: too few groups of two classes in each.")
    over = f" Every difference is{classes}." if (classes := over_classes(evidence)) else ""
    return Line(question, _first_result(pairs) + over)


def _first_result(pairs: Sequence[Comparison] | Sequence[UnpairedComparison]) -> str:
    """Return the sentence of the primary endpoint, else of the first significant comparison, else of the first one."""
    primary = [pair["sentence"] for pair in pairs if pair.get("role") == "primary"]
    significant = [pair["sentence"] for pair in pairs if pair.get("significant")]
    first = next(iter([*primary, *significant, *(pair["sentence"] for pair in pairs)]))
    verb = "is" if len(significant) == 1 else "are"
    more = "" if primary or len(pairs) == 1 else f" {len(significant)} of {len(pairs)} comparisons {verb} significant."
    return first + more


def _positive(evidence: Evidence) -> list[str]:
    """Return the positive classes of the systems' binary views; none where no system has one."""
    return next((each["binary"]["positive"] for each in evidence["systems"] if each["binary"]), [])


def _melanoma_or_class(evidence: Evidence) -> str:
    classes = evidence["settings"]["classes"]
    return next((name for name in classes if name.lower() in MELANOMA), classes[-1])


def _each(systems: Sequence[System], found: Sequence[str], *, same: bool = False) -> str:
    """Return what was found of each system with its name; once where it is one, or wanted so and the same of all."""
    if len(systems) == 1 or (same and len(set(found)) == 1):
        return found[0]
    named = [f"{system['name']} {words}" for system, words in zip(systems, found, strict=True)]
    more = len(named) - MOST_SYSTEMS
    return "; ".join(named[:MOST_SYSTEMS]) + (f"; {more} more below" if more > 0 else "")
