"""The files that challenges want: DSM-2025 on Kaggle and ISIC 2018."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.predictions import PREFIX, table_classes
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.text import quantity

FORMATS = ("table", "kaggle", "isic", "labels")
ISIC_COLUMNS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")  # ISIC 2018, task 3; HAM10000's names in capitals


def check_format(name: str, classes: Sequence[str], files: Sequence[str]) -> None:
    """Check that predictions can be written in a format, before they are made.

    Args:
        name: one of FORMATS.
        classes: the model's, in order.
        files: paths of the images.

    Raises:
        ValueError: the model has other classes than the format, or two images would get the same name in it.
    """
    if name in ("table", "labels"):
        return
    if name == "kaggle" and len(classes) != 2:
        raise ValueError(f"format=kaggle needs two classes, the model has {', '.join(classes)}; choose format=table")
    if name == "isic" and sorted(each.upper() for each in classes) != sorted(ISIC_COLUMNS):
        wanted = ", ".join(ISIC_COLUMNS).lower()
        raise ValueError(f"format=isic needs {wanted}, the model has {', '.join(classes)}; choose format=table")
    names = pd.Series(kaggle_ids(files) if name == "kaggle" else isic_names(files))
    repeats = names[names.duplicated()]
    if len(repeats):
        both = [file for file, short in zip(files, names, strict=True) if short == repeats.iloc[0]][:2]
        test = next((path.parent for path in map(PurePath, both) if path.parent.name == "test"), None)
        remedy = "predict them apart" if test is None else f"set input={test}"
        raise ValueError(f"format={name} names {' and '.join(both)} both {repeats.iloc[0]}: {remedy}")


def kaggle_submission(files: Sequence[str], predicted: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return ``ID,label`` in DSM-2025's format: ``test/`` and the file's name, and 1 for the positive class.

    Args:
        files: path of each image.
        predicted: ``(N,)``, 1 where an image is predicted positive, else 0.

    >>> kaggle_submission(["/dsm/test/12.jpg"], np.array([1])).to_csv(index=False).split()
    ['ID,label', 'test/12.jpg,1']
    """
    return pd.DataFrame({"ID": kaggle_ids(files), "label": predicted})


def isic_submission(table: pd.DataFrame, files: Sequence[str]) -> pd.DataFrame:
    """Return ``image,MEL,NV,BCC,AKIEC,BKL,DF,VASC``: the file's name without suffix and seven probabilities.

    Args:
        table: predictions of a model with HAM10000's seven classes, in any order.
        files: path of each row's image.

    >>> predictions = pd.DataFrame({"image_id": ["a"]} | {f"prob_{name.lower()}": [0.5] for name in ISIC_COLUMNS})
    >>> isic_submission(predictions, ["a/ISIC_1.jpg"]).to_csv(index=False).split()
    ['image,MEL,NV,BCC,AKIEC,BKL,DF,VASC', 'ISIC_1,0.5,0.5,0.5,0.5,0.5,0.5,0.5']
    """
    column = {name.upper(): PREFIX + name for name in table_classes(table)}
    probabilities = {name: table[column[name]].to_numpy() for name in ISIC_COLUMNS}
    return pd.DataFrame({"image": isic_names(files)} | probabilities)


def in_format(
    table: pd.DataFrame, format_: str, classes: Sequence[str], decision: Decision | None, positive: int | str | None
) -> pd.DataFrame:
    """Return predictions in the format of a challenge.

    Args:
        table: predictions with ``path`` and, for Kaggle, ``called``.
        format_: ``kaggle`` or ``isic``.
        classes: of the predictions.
        decision: the rule for the called class, whose weights ISIC's probabilities take.
        positive: what ``called`` is for the images that Kaggle's file has as 1.
    """
    paths = table["path"].tolist()
    if format_ == "kaggle":
        return kaggle_submission(paths, (table["called"] == positive).to_numpy().astype(np.int64))
    if decision is not None:
        names = [PREFIX + name for name in classes]
        table = table.assign(**dict(zip(names, decision.weighted(table[names].to_numpy(), classes).T, strict=True)))
    return isic_submission(table, paths)


Confidence = float | Mapping[str, float]  # least probability of a pseudo-label, of all classes or class → its own


def class_confidences(confidence: Confidence, classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the least probability ``(C,)`` at which an image is labelled each class, infinite for one not named.

    Args:
        confidence: of all classes, or of each that is labelled.
        classes: the model's.

    Raises:
        ValueError: a name is none of the classes.

    >>> class_confidences({"mel": 0.8}, ["mel", "nv"]).tolist()
    [0.8, inf]
    """
    if not isinstance(confidence, Mapping):
        return np.full(len(classes), confidence)
    if unknown := [name for name in confidence if name not in classes]:
        raise ValueError(
            f"confidence={_shown(confidence)}: {', '.join(unknown)} is no class of the model: name some of "
            f"{', '.join(classes)}"
        )
    return np.array([confidence.get(name, np.inf) for name in classes])


def _shown(confidence: Confidence) -> str:
    """Return a confidence as an override has it.

    >>> _shown(0.95), _shown({"mel": 0.8, "nv": 1.0})
    ('0.95', '{mel: 0.8, nv: 1}')
    """
    if isinstance(confidence, Mapping):
        return "{" + ", ".join(f"{name}: {least:g}" for name, least in confidence.items()) + "}"
    return f"{confidence:g}"


def pseudo_labels(table: pd.DataFrame, confidence: Confidence) -> pd.DataFrame:
    """Return ``image_id,label,confidence`` of the images whose most probable class is probable enough.

    A column ``path`` of the predictions is kept.

    Args:
        table: predictions.
        confidence: least probability of that class, see :func:`class_confidences`.

    Raises:
        ValueError: there is no such image, or a class that the predictions lack.

    >>> predictions = pd.DataFrame({"image_id": ["a", "b"], "prob_nv": [0.98, 0.6], "prob_mel": [0.02, 0.4]})
    >>> pseudo_labels(predictions, 0.9).to_csv(index=False).split()
    ['image_id,label,confidence', 'a,nv,0.98']
    """
    classes = table_classes(table)
    probabilities = table[[PREFIX + name for name in classes]].to_numpy(np.float64)
    highest, likeliest = probabilities.max(1), probabilities.argmax(1)
    chosen = highest >= class_confidences(confidence, classes)[likeliest]
    if not chosen.any():
        largest = f", the largest probability is {highest.max():.3f}" if len(highest) else ""
        raise ValueError(
            f"confidence={_shown(confidence)}: none of {quantity(len(table), 'image')} is labelled{largest}; lower it"
        )
    labels = np.asarray(classes, object)[likeliest]
    found = {"image_id": table["image_id"][chosen], "label": labels[chosen], "confidence": highest[chosen]}
    return pd.DataFrame(found | ({"path": table["path"][chosen]} if "path" in table else {}))


def labelling_confidence(table: pd.DataFrame, confidence: Confidence, missing: Collection[str]) -> str:
    """Return in words the confidence at which images of each of some classes are labelled too, and how many are.

    Classes that are the most probable one of no image are left out.

    Args:
        table: predictions.
        confidence: at which images of the other classes are labelled.
        missing: classes.

    >>> predictions = pd.DataFrame({"image_id": ["a", "b"], "prob_nv": [0.98, 0.384], "prob_mel": [0.02, 0.616]})
    >>> labelling_confidence(predictions, 0.95, ["mel"])
    'confidence={nv: 0.95, mel: 0.61} labels nv 1, mel 1'
    """
    classes = table_classes(table)
    probabilities = table[[PREFIX + name for name in classes]].to_numpy(np.float64)
    highest, likeliest = probabilities.max(1), np.asarray(classes, object)[probabilities.argmax(1)]
    largest = {name: highest[likeliest == name].max() for name in missing if (likeliest == name).any()}
    if not largest:
        return (
            "it is the most probable class of no image, so that no confidence= labels any: train the model for longer, "
            "or let an expert label its likeliest images: python -m skinlab.mine ckpt=RUN output=DIR by=probability"
        )
    least = dict(zip(classes, class_confidences(confidence, classes).tolist(), strict=True))
    lower = {name: each for name, each in least.items() if np.isfinite(each)}
    lower |= {name: math.floor(each * 100) / 100 for name, each in largest.items()}
    counts = pseudo_labels(table, lower)["label"].value_counts()
    return f"confidence={_shown(lower)} labels {', '.join(f'{name} {counts.get(name, 0)}' for name in classes)}"


def kaggle_ids(files: Sequence[str]) -> list[str]:
    """Return DSM-2025's id of each file."""
    return [f"test/{PurePath(file).name}" for file in files]


def isic_names(files: Sequence[str]) -> list[str]:
    """Return ISIC's id of each file."""
    return [PurePath(file).stem for file in files]
