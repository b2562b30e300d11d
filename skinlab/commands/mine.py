"""Mining a pool: which unlabeled images an expert should look at first, and what the pool is made of."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from skinlab.assessment.evidence_files import made
from skinlab.data.datamodule import loading_processes
from skinlab.data.images import read_jpeg
from skinlab.errors import UserError, nearest
from skinlab.evaluation import mining
from skinlab.evaluation.predictions import DECIMALS
from skinlab.files import claim, replacing, write_json, write_text
from skinlab.inference.bundle import best_device, load_bundle
from skinlab.mining.embeddings import find_novelty, see
from skinlab.mining.orders import WAYS, chosen_table, find_yield, order_all
from skinlab.mining.pool import open_pool, run_of, with_truth
from skinlab.mining.prevalence import find_prevalence
from skinlab.processes.cores import available_cores
from skinlab.report.mining_page import render_mining

log = logging.getLogger(__name__)

LIST = "mine.csv"  # written last: a folder without it is not complete
CHOICES = {
    "by": WAYS,
    "uncertainty": mining.UNCERTAINTIES,
    "diversity": mining.DIVERSITIES,
    "on_bad_image": ("error", "drop"),
}
LEAST = {"n": 1, "shortlist": 1, "n_train": 10, "n_draws": 20, "picture": 32, "batch_size": 1, "seed": 0}


def mine(config: dict[str, Any]) -> None:
    """Rank the pool of ``ckpt`` for annotation and write the list, the page for the expert and the facts to ``output``.

    Args:
        config: the resolved config of ``conf/mine.yaml``.

    Raises:
        UserError: whatever a person must mend; nothing has been written then.
    """
    output = check_settings(config)
    device = best_device(config["device"])
    run = run_of(config["ckpt"])
    bundle = load_bundle(config["ckpt"])
    positive = check_positive(config["positive"], bundle.outputs, bundle.positive_output)
    pool = open_pool(
        run,
        config["input"],
        classes=bundle.outputs,
        columns={name: theirs for name, theirs in config["columns"].items() if name != "label"},
        find_copies=config["find_copies"],
        missing_ok=config["on_bad_image"] == "drop",
        num_workers=available_cores(),
    )
    pool = with_truth(pool, config["truth"], config["columns"], bundle.outputs)
    started = time.perf_counter()
    seen = see(bundle, pool, config, device)
    novelty, measured = find_novelty(seen, config["alarms"], config["seed"])
    orders = order_all(seen, novelty, positive, bundle.outputs, config)
    table = chosen_table(seen, novelty, orders, positive, bundle.outputs, config)
    facts = {
        "format": 1,
        "made": made("mine", config | {"positive": positive}),
        "run": str(run.absolute()) if run else None,
        "model": bundle.meta(),
        "classes": bundle.outputs,
        "positive": positive,
        "by": config["by"],
        "chosen": len(table),
        "pool": pool.counts | {"unreadable": len(pool.rows) - len(seen.pool), "novelty": measured},
        "prevalence": find_prevalence(seen, novelty, positive, bundle.outputs, config),
        "yield": find_yield(seen, orders, positive, config),
        "seconds": round(time.perf_counter() - started, 1),
    }
    flagged = seen.pool[~(novelty <= 1)] if measured else seen.pool[:0]
    with claim(output, "output"):
        write_all(output, table, facts, flagged, config["picture"])
    tell(facts, output)


def check_settings(config: dict[str, Any]) -> Path:
    """Refuse settings that make no sense; return the folder to write.

    Raises:
        UserError: a setting is missing or out of range, or the output is there already.
    """
    for name, words in (("ckpt", "RUN_OR_FILE"), ("output", "DIR")):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name}= is missing or no name: set {name}={words}")
    for name, options in CHOICES.items():
        if config[name] not in options:
            hint = nearest(str(config[name]), options)
            raise UserError(f"{name}={config[name]}: choose {', '.join(options)}{hint}")
    for name, least in LEAST.items():
        if isinstance(config[name], bool) or not isinstance(config[name], int) or config[name] < least:
            raise UserError(f"{name}={config[name]}: a whole number of at least {least} is expected")
    if not 0 < config["alarms"] < 1:
        raise UserError(f"alarms={config['alarms']}: a share between 0 and 1 is expected, such as 0.01")
    config["num_workers"] = loading_processes(config["num_workers"])
    output = Path(config["output"]).expanduser().absolute()
    if output.exists() and not output.is_dir():
        raise UserError(f"output={config['output']} is a file; name a folder")
    if (output / LIST).exists() and not config["overwrite"]:
        raise UserError(f"{output / LIST} exists; choose another output= or set overwrite=true")
    return output


def check_positive(asked: Sequence[str] | None, classes: Sequence[str], default: str | None) -> list[str]:
    """Return the positive classes: those of the settings, or the positive one of two.

    Raises:
        UserError: none are named, one is unknown, or all are positive.
    """
    names = asked or ([] if default is None else [default])
    if not names:
        raise UserError(f"positive= is missing: say which of {', '.join(classes)} are looked for, as in positive=[A,B]")
    if unknown := [name for name in names if name not in classes]:
        hint = nearest(unknown[0], classes)
        raise UserError(f"positive={unknown[0]} is no class of the model{hint}: {', '.join(classes)}")
    if len(set(names)) == len(classes):
        raise UserError(f"positive={','.join(names)}: name some of the classes, not all")
    return [name for name in classes if name in names]


def write_all(output: Path, table: pd.DataFrame, facts: dict[str, Any], flagged: pd.DataFrame, side: int) -> None:
    """Write the flagged images for ``data.exclude=``, the page, the facts and last the list, which experts fill in."""
    with ThreadPoolExecutor(available_cores()) as threads:
        pictures = list(threads.map(lambda path: read_jpeg(path, side), table["path"]))
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    page = render_mining(facts, rows, pictures)
    if len(flagged):
        write_text(output / "flagged.csv", flagged[["image_id", "path"]].to_csv(index=False))
    else:
        (output / "flagged.csv").unlink(missing_ok=True)
    write_text(output / "contact_sheet.html", page)
    write_json(output / "mine.json", facts)
    with replacing(output / LIST) as temporary:
        table.to_csv(temporary, index=False, float_format=DECIMALS)


def tell(facts: Mapping[str, Any], output: Path) -> None:
    """Say in a few lines what was found."""
    pool, share, found = facts["pool"], facts["prevalence"], facts["yield"]
    log.info("%d of %d images chosen, by %s: %s", facts["chosen"], pool["images"], facts["by"], output)
    if facts["chosen"] < facts["made"]["config"]["n"]:
        log.warning("n=%d: the pool has no more groups to choose from", facts["made"]["config"]["n"])
    if "why" in share:
        log.info("the share of positives in the pool can't be estimated: %s", share["why"])
    else:
        ends = [100 * share["em"][end] for end in ("value", "low", "high")]
        log.info("share of positives in the pool, if labels alone have shifted: %.1f %% (%.1f to %.1f %%)", *ends)
    if found and facts["by"] in found["at"]:
        last = found["at"][facts["by"]][-1]
        log.info("of the first %(looked)d images %(found)d are positive; expected at random: %(random).1f", last)
