"""Mining a pool: which unlabeled images an expert should look at first, and what the pool is made of."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.cores import available_cores
from skinlab.data.datamodule import loading_processes
from skinlab.data.images import read_jpeg
from skinlab.errors import UserError, nearest
from skinlab.evaluation import mining
from skinlab.evaluation.distances import unit
from skinlab.evaluation.predictions import DECIMALS, PREFIX
from skinlab.evaluation.thresholds import positive_score
from skinlab.files import claim
from skinlab.models.bundle import best_device, load_bundle
from skinlab.report.mining_page import render_mining
from skinlab.runtime.annotation_pool import open_pool, run_of, with_truth
from skinlab.runtime.evaluating import made
from skinlab.runtime.pool_prevalence import find_prevalence
from skinlab.runtime.run_directory import replacing, write_json, write_text
from skinlab.runtime.seen_pool import Seen, find_novelty, see

log = logging.getLogger(__name__)

WAYS = ("probability", "uncertainty", "diversity", "mixed")
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


def order_all(
    seen: Seen, novelty: np.ndarray, positive: Sequence[str], classes: Sequence[str], config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return the order of every way that is asked for, at most ``n`` rows, one a group.

    All ways are gone where the truth of some images is known, so that they can be compared.
    """
    n, groups = config["n"], seen.pool["group"].to_numpy(dtype=object)
    unsure = mining.uncertainty(seen.probabilities, config["uncertainty"])
    orders = {
        "probability": mining.descending(positive_score(seen.probabilities, classes, positive)),
        "uncertainty": mining.descending(unsure),
    }
    orders = {name: mining.first_of_each(order, groups) for name, order in orders.items()}
    # The farthest images are the foreign ones: an expert would be shown little else.
    familiar = orders["uncertainty"][~(novelty[orders["uncertainty"]] > 1)]
    listed = familiar[: max(config["shortlist"], n)]
    orders = {name: order[:n] for name, order in orders.items()}
    if config["by"] in orders and not (seen.pool["truth"] != "").any():
        return orders
    if config["diversity"] == "badge":
        picked = mining.badge_order(seen.probabilities[listed], seen.features[listed], n, config["seed"])
    else:
        train = (seen.labelled["split"] == "train").to_numpy()
        picked = mining.k_centre_order(unit(seen.features[listed]), n, unit(seen.known_features[train]))
    orders["diversity"] = listed[picked]
    return orders | {"mixed": mining.mixed(orders, groups, n)[0]}


def chosen_table(
    seen: Seen,
    novelty: np.ndarray,
    orders: Mapping[str, np.ndarray],
    positive: Sequence[str],
    classes: Sequence[str],
    config: Mapping[str, Any],
) -> pd.DataFrame:
    """Return the rows of ``mine.csv``."""
    order = orders[config["by"]]
    ways = [config["by"]] * len(order)
    if config["by"] == "mixed":
        ways = mining.mixed(orders, seen.pool["group"].to_numpy(dtype=object), len(order))[1]
    probabilities = seen.probabilities[order]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "image_id": seen.pool["image_id"].to_numpy()[order],
            "label": "",
            "path": seen.pool["path"].to_numpy()[order],
            "group": seen.pool["group"].to_numpy()[order],
            "by": ways,
            "probability": positive_score(probabilities, classes, positive),
            "uncertainty": mining.uncertainty(probabilities, config["uncertainty"]),
            "novelty": novelty[order],
            "flagged": (novelty[order] > 1).astype(int),
        }
        | {PREFIX + name: probabilities[:, i] for i, name in enumerate(classes)}
    )


def find_yield(
    seen: Seen, orders: Mapping[str, np.ndarray], positive: Sequence[str], config: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what each way would have found, of the images whose truth is known; None where there are none.

    Random looks at one image a group, too: a group is positive if one of its images is.
    """
    known = (seen.pool["truth"] != "").to_numpy()
    if not known.any():
        return None
    truth = seen.pool["truth"].isin(positive).to_numpy()
    n_groups, n_positive = seen.pool["group"][known].nunique(), seen.pool["group"][known & truth].nunique()
    given = {name: truth[order[known[order]]] for name, order in orders.items()}
    curves = {name: mining.yield_curve(found, n_positive, n_groups) for name, found in given.items()}
    curves = {name: curve for name, curve in curves.items() if curve["looked"]}
    return {
        "positives": n_positive,
        "groups": n_groups,
        "known": int(known.sum()),
        "by": config["by"],
        "at": {name: mining.at_looks(curve) for name, curve in curves.items()},
        "curves": curves,
    }


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
