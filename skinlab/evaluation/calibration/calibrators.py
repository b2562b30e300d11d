"""Calibration of class probabilities, fitted on other rows than it is evaluated on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.predictions import MIN_PROBABILITY, check_target, probability_floor
from skinlab.evaluation.statistics.folds import group_folds, out_of_fold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_TEMPERATURE = 10.0  # and at least its inverse: a handful of rows that are all right would give zero


@dataclass(frozen=True)
class Calibrator(ABC):
    """A map from probabilities to probabilities whose numbers go through JSON unchanged."""

    method: ClassVar[str]

    @classmethod
    @abstractmethod
    def fit(cls, probabilities: Floats, target: Ints) -> Self:
        """Fit on probabilities ``(N, C)`` and true class numbers ``(N,)``."""

    @abstractmethod
    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities ``(N, C)``; rows sum to one."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"method": self.method, **{name: _plain(value, list) for name, value in asdict(self).items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` described."""
        return cls(**{field.name: _plain(values[field.name], tuple) for field in fields(cls)})


@dataclass(frozen=True)
class Unchanged(Calibrator):
    """Leave the probabilities as they are."""

    method: ClassVar[str] = "none"

    @classmethod
    def fit(cls, probabilities: Floats, target: Ints) -> Self:
        """Return the calibrator, which has no parameters."""
        return cls()

    def __call__(self, probabilities: Floats) -> Floats:
        """Return a copy."""
        return probabilities.copy()


@dataclass(frozen=True)
class Temperature(Calibrator):
    """Divide the log-probabilities by one number (Guo et al., 2017); the predicted class never changes.

    >>> Temperature(2.0)(np.array([[0.8, 0.2]])).round(3)
    array([[0.667, 0.333]])
    """

    temperature: float
    method: ClassVar[str] = "temperature"

    @classmethod
    def fit(cls, probabilities: Floats, target: Ints) -> Self:
        """Return the temperature of least log-loss, within a factor of ten of one."""
        check_target(probabilities, target)
        logs, bound = _log(probabilities), np.log(MAX_TEMPERATURE)

        def loss(log_temperature: float) -> float:
            return float(-log_softmax(logs / np.exp(log_temperature), axis=1)[np.arange(len(target)), target].mean())

        found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-9})
        return cls(float(np.exp(found.x)))

    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities ``(N, C)``."""
        return np.asarray(softmax(_log(probabilities) / self.temperature, axis=1))


@dataclass(frozen=True)
class Vector(Calibrator):
    """Scale and shift each class's log-probability (vector scaling; Guo et al., 2017).

    The fit is a maximum a posteriori one: scales have a normal prior around the best temperature's, shifts around zero,
    so that on few rows it falls back to temperature scaling, and a class without rows gets a bounded shift.

    >>> Vector((1.0, 1.0), (0.0, float(np.log(4))))(np.array([[0.8, 0.2]])).round(3)
    array([[0.5, 0.5]])
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]
    method: ClassVar[str] = "vector"

    @classmethod
    def fit(cls, probabilities: Floats, target: Ints, prior_sd: float = 1.0) -> Self:
        """Fit scales (never negative) and shifts; ``prior_sd`` is the priors' standard deviation."""
        start = 1 / Temperature.fit(probabilities, target).temperature
        (n, c), logs = probabilities.shape, _log(probabilities)
        truth, center = np.eye(c)[target], np.r_[np.full(c, start), np.zeros(c)]
        penalty = 1 / (n * prior_sd**2)

        def loss(theta: Floats) -> tuple[float, Floats]:
            log_p = log_softmax(theta[:c] * logs + theta[c:], axis=1)
            residual, away = (np.exp(log_p) - truth) / n, theta - center
            gradient = np.r_[(residual * logs).sum(0), residual.sum(0)] + penalty * away
            return float(-(truth * log_p).sum() / n + penalty * away @ away / 2), gradient

        bounds = [(0, None)] * c + [(None, None)] * c
        found = minimize(loss, center, jac=True, method="SLSQP", bounds=bounds, options={"ftol": 1e-12, "maxiter": 500})
        return cls(tuple(found.x[:c].tolist()), tuple(found.x[c:].tolist()))

    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities ``(N, C)``."""
        _check_classes(probabilities, len(self.scale))
        return np.asarray(softmax(_log(probabilities) * np.array(self.scale) + np.array(self.bias), axis=1))


@dataclass(frozen=True)
class Isotonic(Calibrator):
    """One rising step-like curve a class, one against the rest, then renormalised (Zadrozny & Elkan, 2002).

    The curves end at ``1 / (N + 2)`` and as far below one, so that N rows don't rule out a class: a true class of
    probability zero would cost an infinite log-loss.

    Attributes:
        knots: for each class the probabilities between which the curve is linear.
        values: for each class the calibrated probability at its knots.
    """

    knots: tuple[tuple[float, ...], ...]
    values: tuple[tuple[float, ...], ...]
    method: ClassVar[str] = "isotonic"

    @classmethod
    def fit(cls, probabilities: Floats, target: Ints) -> Self:
        """Fit one curve a class."""
        check_target(probabilities, target)
        c = probabilities.shape[1]
        least = 1 / (len(target) + 2)
        isotonic = [IsotonicRegression(y_min=least, y_max=1 - least) for _ in range(c)]
        curves = [curve.fit(probabilities[:, i], target == i) for i, curve in enumerate(isotonic)]
        knots = tuple(tuple(curve.X_thresholds_.tolist()) for curve in curves)
        values = tuple(tuple(curve.y_thresholds_.tolist()) for curve in curves)
        return cls(knots, values)

    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities ``(N, C)``."""
        _check_classes(probabilities, len(self.knots))
        curves = zip(probabilities.T, self.knots, self.values, strict=True)
        mass = np.stack([np.interp(p, x, y) for p, x, y in curves], axis=1)
        return np.asarray(mass / mass.sum(1, keepdims=True))


# A new calibrator is a class above and its entry here.
CALIBRATORS: dict[str, type[Calibrator]] = {k.method: k for k in (Unchanged, Temperature, Vector, Isotonic)}


def fit_calibrator(method: str, probabilities: Floats, target: Ints) -> Calibrator:
    """Fit one of ``CALIBRATORS``; ValueError for another name, shapes that differ, or missing labels.

    Zeros of a rounded table count as half a unit of its last decimal.
    """
    return _named(method).fit(np.maximum(probabilities, probability_floor(probabilities)), target)


def calibrator_from_dict(values: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator that ``to_dict`` described; ValueError where a value is missing.

    >>> calibrator_from_dict({"method": "temperature", "temperature": 1.5})
    Temperature(temperature=1.5)
    """
    try:
        return _named(str(values["method"])).from_dict(values)
    except KeyError as err:
        raise ValueError(f"a stored calibrator lacks {err}: fit and store it again") from None


def cross_fit(
    method: str,
    probabilities: Floats,
    target: Ints,
    groups: npt.NDArray[Any],
    n_folds: int = 5,
    seed: int = 0,
    stated: StatedPrevalence | None = None,
) -> Floats:
    """Return probabilities ``(N, C)``, each row's by a calibrator fitted without its group.

    A calibrator is fitted for the shares of the classes among its rows; at a stated prevalence its probabilities are
    then corrected to that. ``none`` leaves them as they are.

    Args:
        method: one of ``CALIBRATORS``.
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        groups: ``(N,)`` lesion or patient of each row.
        n_folds: number of grouped folds.
        seed: of the folds.
        stated: the prevalence; None for that of the rows.
    """
    check_target(probabilities, target)
    if method == Unchanged.method:
        return probabilities.copy()
    probabilities = np.maximum(probabilities, probability_floor(probabilities))

    def calibrated(held: npt.NDArray[np.bool_]) -> Floats:
        found = fit_calibrator(method, probabilities[~held], target[~held])(probabilities[held])
        return found if stated is None else stated.correct(found, target[~held])

    return out_of_fold(group_folds(groups, target, n_folds, seed), calibrated)


def correct_prior(probabilities: Floats, training_prior: Floats, target_prior: Floats) -> Floats:
    """Correct probabilities from the training prior to another prior (Saerens et al., 2002).

    Args:
        probabilities: ``(N, C)``.
        training_prior: ``(C,)`` shares or counts, all above zero, as the loss and the sampler showed them.
        target_prior: ``(C,)`` shares or counts where the model is used. A row left with nothing but zeros gets these.

    Raises:
        ValueError: a share that can't be used, or numbers of classes that differ.

    >>> correct_prior(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    array([[0.9, 0.1]])
    """
    training, wanted = np.asarray(training_prior, float), np.asarray(target_prior, float)
    if training.shape != wanted.shape or probabilities.shape[1:] != training.shape:
        raise ValueError(
            f"priors of {training.size} and {wanted.size} classes for {probabilities.shape[-1]} classes of"
            " probabilities: give one share a class, in the order of the classes"
        )
    if not ((training > 0).all() and (wanted >= 0).all() and 0 < wanted.sum() < np.inf):
        raise ValueError("training_prior must be above zero for every class and target_prior at least zero: set them")
    ratio = (wanted / wanted.sum()) / (training / training.sum())
    return _normalised(probabilities * ratio, wanted)


def cross_fit_prior(
    probabilities: Floats,
    target: Ints,
    groups: npt.NDArray[Any],
    training_prior: Floats,
    n_folds: int = 5,
    seed: int = 0,
    stated: StatedPrevalence | None = None,
) -> Floats:
    """Return probabilities ``(N, C)``, each row's corrected to the shares of the classes among other groups' rows.

    At a stated prevalence positives have that share, and the classes of each side theirs among other groups' rows.

    Args:
        probabilities: ``(N, C)``.
        target: ``(N,)`` true class numbers.
        groups: ``(N,)`` lesion or patient of each row.
        training_prior: ``(C,)`` shares, see :func:`correct_prior`.
        n_folds: number of grouped folds.
        seed: of the folds.
        stated: the prevalence; None for that of the rows.
    """
    check_target(probabilities, target)
    probabilities = np.maximum(probabilities, probability_floor(probabilities))

    def corrected(held: npt.NDArray[np.bool_]) -> Floats:
        shares = np.bincount(target[~held], minlength=probabilities.shape[1]).astype(np.float64)
        wanted = shares if stated is None else shares * stated.factors(shares)
        return correct_prior(probabilities[held], training_prior, wanted)

    return out_of_fold(group_folds(groups, target, n_folds, seed), corrected)


def _log(probabilities: Floats) -> Floats:
    return np.log(np.clip(probabilities, MIN_PROBABILITY, 1))


def _normalised(mass: Floats, fallback: Floats) -> Floats:
    """Return rows that sum to one; a row of zeros gets the fallback's shares."""
    mass = np.where(mass.sum(1, keepdims=True) > 0, mass, fallback)
    return np.asarray(mass / mass.sum(1, keepdims=True))


def _named(method: str) -> type[Calibrator]:
    if method not in CALIBRATORS:
        raise ValueError(f"calibration={method} is unknown: choose one of {', '.join(CALIBRATORS)}")
    return CALIBRATORS[method]


def _check_classes(probabilities: Floats, c: int) -> None:
    if probabilities.shape[1] != c:
        raise ValueError(
            f"a calibrator of {c} classes got {probabilities.shape[1]}: use it on the classes it was fitted on"
        )


def _plain(value: Any, sequence: type[list[Any]] | type[tuple[Any, ...]]) -> Any:
    return sequence(_plain(v, sequence) for v in value) if isinstance(value, (list, tuple)) else float(value)
