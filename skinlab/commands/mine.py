"""Mine a pool: which unlabeled images an expert should see first, and the share of positives in it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.assessment.evidence_files import describe_provenance
from skinlab.data.images import read_jpeg
from skinlab.errors import UserError, nearest
from skinlab.evaluation.predictions import FLOAT_FORMAT
from skinlab.files import claim, replacing, write_json, write_text
from skinlab.inference.bundle import best_device
from skinlab.inference.models import load_models, model_places
from skinlab.mining.embeddings import embed_pool, find_novelty
from skinlab.mining.orders import list_images, measure_yield, order_pool, score_pool
from skinlab.mining.pool import open_pool, runs_of, with_truth
from skinlab.mining.prevalence import find_prevalence
from skinlab.processes.cores import available_cores
from skinlab.processes.progress import track
from skinlab.report.mining_page import render_mining
from skinlab.report.terminal import print_places
from skinlab.settings.command import Invocation
from skinlab.settings.commands.mine import MineSettings
from skinlab.settings.outputs import RANKING, ranking_folder
from skinlab.tables.label_table import read_labels
from skinlab.text import portion

log = logging.getLogger(__name__)


def mine(settings: MineSettings, invocation: Invocation) -> None:
    """Rank the pool of ``ckpt`` for annotation and write the list, the page for the expert and the facts to ``output``.

    Args:
        settings: of the command.
        invocation: its command line is recorded.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    output = ranking_folder(settings.output, overwrite=settings.overwrite)
    if settings.truth is not None:  # refused now, not after the search for copies
        read_labels(settings.truth, f"truth={settings.truth}", settings.columns)
    device = best_device(settings.device)
    places = model_places(settings.ckpt)
    runs, bundle = runs_of(places), load_models(places)
    classes = bundle.outputs
    positive = positive_classes(settings.positive, classes, bundle.positive_output)
    pool = open_pool(
        runs,
        settings.input,
        classes=classes,
        columns={name: theirs for name, theirs in settings.columns.items() if name != "label"},
        find_copies=settings.find_copies,
        missing_ok=settings.on_bad_image == "drop",
        num_workers=available_cores(),
    )
    pool = with_truth(pool, settings.truth, settings.columns, classes)

    started = time.perf_counter()
    embeddings = embed_pool(bundle, pool, settings, device)
    novelty, measured = find_novelty(embeddings, settings.alarms, settings.seed)
    scores = score_pool(embeddings, novelty, classes, positive, settings.uncertainty)
    orders = order_pool(embeddings, scores, settings)
    table = list_images(embeddings, scores, orders, settings.by, classes)
    facts = {
        "format": 2,
        "provenance": describe_provenance(invocation.command, settings.dump() | {"positive": positive}),
        "run": str(runs[0]) if runs else None,
        "runs": [str(run) for run in runs],
        "model": bundle.meta(),
        "classes": classes,
        "positive": positive,
        "by": settings.by,
        "chosen": len(table),
        "pool": pool.counts | {"unreadable": len(pool.rows) - len(embeddings.pool), "novelty": measured},
        "prevalence": find_prevalence(
            embeddings, novelty, classes, positive, n_draws=settings.n_draws, seed=settings.seed
        ),
        "yield": measure_yield(embeddings, orders.rows, positive, settings.by),
        "seconds": round(time.perf_counter() - started, 1),
    }
    flagged = embeddings.pool[~(novelty <= 1)] if measured else embeddings.pool[:0]
    with claim(output, "output"):
        write_files(output, table, facts, flagged, settings.picture)
    report(facts, settings.n, output)


def positive_classes(chosen: Sequence[str] | None, classes: Sequence[str], default: str | None) -> list[str]:
    """Return the positive classes, in the order of the classes: those of ``positive=``, or the positive one of two.

    Raises:
        UserError: none are named, one is unknown, or all are positive.
    """
    names = chosen or ([] if default is None else [default])
    if not names:
        raise UserError(f"positive= is missing: name some of {', '.join(classes)}, as in 'positive=[A,B]'")
    if unknown := [name for name in names if name not in classes]:
        hint = nearest(unknown[0], classes)
        raise UserError(f"positive={unknown[0]} is no class of the model{hint}: {', '.join(classes)}")
    if len(set(names)) == len(classes):
        raise UserError(f"positive={','.join(names)}: name some of the classes, not all")
    return [name for name in classes if name in names]


def write_files(
    output: Path, table: pd.DataFrame, facts: dict[str, Any], flagged: pd.DataFrame, picture_side: int
) -> None:
    """Write the flagged images for ``data.exclude=``, the page, the facts and last the list, which experts fill in."""
    with ThreadPoolExecutor(available_cores()) as threads:
        read = threads.map(lambda path: read_jpeg(path, picture_side), table["path"])
        pictures = list(track(read, "reading images for the contact sheet", len(table)))
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    page = render_mining(facts, rows, pictures)
    if len(flagged):
        write_text(output / "flagged.csv", flagged[["image_id", "path"]].to_csv(index=False))
    else:
        (output / "flagged.csv").unlink(missing_ok=True)
    write_text(output / "contact_sheet.html", page)
    write_json(output / "mine.json", facts)
    with replacing(output / RANKING) as temporary:
        table.to_csv(temporary, index=False, float_format=FLOAT_FORMAT)


def report(facts: Mapping[str, Any], n: int, output: Path) -> None:
    """Log in a few lines what was found."""
    pool, share, found = facts["pool"], facts["prevalence"], facts["yield"]
    log.info("%s chosen, by %s", portion(facts["chosen"], pool["images"], "image", "is"), facts["by"])
    if facts["chosen"] < n:
        log.warning("n=%d: the pool has no more groups to choose from", n)
    if "why" in share:
        log.info("the share of positives in the pool can't be estimated: %s", share["why"])
    else:
        ends = [100 * share["em"][end] for end in ("value", "low", "high")]
        log.info("share of positives in the pool, if labels alone have shifted: %.1f %% (%.1f to %.1f %%)", *ends)
    if found and facts["by"] in found["at"]:
        last = found["at"][facts["by"]][-1]
        log.info("of the first %(labelled)d images %(found)d are positive; expected at random: %(random).1f", last)
    print_places({"images to label": output / RANKING, "contact sheet": output / "contact_sheet.html"})
