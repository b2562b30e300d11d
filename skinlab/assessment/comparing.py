"""Compare systems on the same images: in pairs, by net benefit, and which of many may be the best one."""

from __future__ import annotations

from collections.abc import Sequence

from skinlab.assessment.systems import System
from skinlab.errors import nearest
from skinlab.evaluation.evidence.comparison_form import BestSystems, NetBenefit
from skinlab.evaluation.evidence.net_benefit import BinaryViews, NetBenefitSettings, compare_net_benefit
from skinlab.evaluation.evidence.rules import trainings_at_rules
from skinlab.evaluation.evidence.settings import EvaluationSettings
from skinlab.evaluation.evidence.system import SystemEvidence
from skinlab.evaluation.metrics.operating_points import common_point
from skinlab.evaluation.statistics.best import best_systems
from skinlab.evaluation.statistics.comparison import Comparison, compare
from skinlab.evaluation.statistics.trainings import Replicates, overlap_of_folds
from skinlab.processes.progress import track

MOST_IN_PAIRS = 12  # systems of which every pair is compared; Holm's correction of more pairs leaves little to be found


def in_pairs(n_systems: int, settings: EvaluationSettings) -> bool:
    """Return whether systems are compared in pairs: many of them only where a reference or an endpoint was declared."""
    return n_systems <= MOST_IN_PAIRS or settings.reference is not None or settings.endpoint is not None


def compare_systems(
    found: Sequence[tuple[System, SystemEvidence]], settings: EvaluationSettings
) -> tuple[list[Comparison], list[BestSystems]]:
    """Compare the systems, metrics of decisions at the rules that they share: in pairs, and with the best."""
    blocks, trainings, points = [each.block for _, each in found], [], dict[str, list[str]]()
    for system, each in track(found, "decisions of each system", len(found)):
        how = {"n_draws": settings.n_draws, "seed": settings.seed}
        at_rules, own = trainings_at_rules(each.trainings, system.tables, each.rules.shared(blocks), **how)
        trainings.append((system.name, at_rules))
        for name, point in own.items():
            points.setdefault(name, []).append(point)
    shared = {name: common_point(each) for name, each in points.items()}
    of_tables = [system.name for system, _ in found if system.of_unknown_origin]
    claimed = [settings.endpoint.metric] if settings.endpoint else settings.compare_by
    best = best_systems(trainings, claimed, settings.level, shared)
    if not in_pairs(len(found), settings):
        return [], best
    pairs = compare(
        trainings, settings.compare_by, settings.level, settings.reference, settings.endpoint, shared, of_tables
    )
    return pairs, best


def check_reference(reference: str | None, names: Sequence[str]) -> None:
    """Refuse a reference that is none of the systems.

    Raises:
        ValueError: it is none.
    """
    if reference not in (None, *names):
        hint = nearest(str(reference), names)
        raise ValueError(f"reference={reference} is none of the systems {', '.join(names)}{hint}")


def check_metrics(settings: EvaluationSettings, metrics: Sequence[str]) -> None:
    """Refuse comparisons and an endpoint by a metric that the systems don't have.

    Raises:
        ValueError: such a metric.
    """
    known = [name for name in metrics if not name.startswith("support/")]
    endpoint = [settings.endpoint.metric] if settings.endpoint else []
    for setting, names in (("compare_by", settings.compare_by), ("endpoint", endpoint)):
        if unknown := [name for name in names if name not in known]:
            hint = nearest(unknown[0], known)
            raise ValueError(f"{setting}: {unknown[0]} is no metric of these predictions{hint}; e.g. pr_auc_macro")


def net_benefit_of(systems: Sequence[System], settings: EvaluationSettings) -> NetBenefit | None:
    """Return the differences of net benefit; None where no class is positive, or pairs are not compared."""
    if not in_pairs(len(systems), settings):
        return None
    found = [
        (
            system.name,
            BinaryViews([view for table in system.tables if (view := settings.binary_view(table))], replicates),
        )
        for system in systems
        for replicates in [replicates_of(system)]
    ]
    how = NetBenefitSettings(
        settings.net_benefit_at,
        settings.calibration,
        settings.prevalence,
        settings.reference,
        settings.level,
        settings.seed,
    )
    return compare_net_benefit(found, how) if found[0][1].tables else None


def replicates_of(system: System) -> Replicates:
    """Return in what the trainings of a system differ."""
    return Replicates(system.replicate_axis, system.replicate_ids, _fold_overlap(system))


def _fold_overlap(system: System) -> float:
    """Return by how much the mean over folds side by side varies more than that of independent trainings."""
    if system.replicate_axis != "fold" or not system.runs:
        return 0.0
    data = [run.config["data"] for run in system.runs]
    return overlap_of_folds([each["fold"] for each in data], data[0]["n_folds"])


def draw_cautions(settings: EvaluationSettings, n_systems: int) -> list[str]:
    """Return a caution where so few bootstrap samples can't make a small enough p."""
    n_pairs = n_systems - 1 if settings.reference else n_systems * (n_systems - 1) // 2
    n_comparisons = n_pairs * len(settings.compare_by)
    if n_comparisons * 2 / (settings.n_draws + 1) <= 1 - settings.level:
        return []
    return [
        f"{settings.n_draws} bootstrap samples can't give {n_comparisons} comparisons a p under "
        f"{1 - settings.level:.2g} after Holm's correction: raise n_draws, name a reference, or compare "
        "by fewer metrics."
    ]
