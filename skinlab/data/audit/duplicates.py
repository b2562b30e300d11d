"""Copies and near-copies among many images, found without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skinlab.data.audit.fingerprint import FREQUENCIES
from skinlab.processes.progress import track

# Of the 50 million pairs of HAM10000 that show different lesions none is above 0.92; of planted copies (a third of the
# size at JPEG quality 40, brightness, contrast, gamma, white balance, blur, noise, a caption) 98 in 100 are above 0.95.
MIN_SIMILARITY = 0.935

_LOW = 8  # frequencies a side whose signs make the search keys: the steadiest ones
_TABLES = 24  # searches, each by another choice of signs
_MAX_DIFFERING_SIGNS = 14  # of _LOW² - 1
_NEIGHBOURS = 64  # compared with each image, of those that share its key: bounds the work on crowded keys
_BATCH = 1 << 16  # pairs compared at once
_ORIENTATIONS = 7  # in which pictures are compared

PAIR = np.dtype([("a", "<i8"), ("b", "<i8"), ("similarity", "<f4"), ("exact", "?"), ("turned", "?")])


def find_duplicates(fingerprints: np.ndarray) -> np.ndarray:
    """Find the pairs of images that show the same picture.

    Exact copies are each paired with the first of them. Near-copies are similar as a whole and in the centre, in one
    of the eight orientations of a square. They are found by locality-sensitive hashing (Charikar 2002): copies have
    nearly the same signs of their low frequencies, so that some subset of the signs is likely to be equal.

    Args:
        fingerprints: FINGERPRINT records (N,).

    Returns:
        PAIR records: positions a < b, sorted, each pair once; `similarity` 0 to 1, `exact` to the pixel, `turned` or
        mirrored one against the other.
    """
    _, first, inverse = np.unique(fingerprints["digest"], axis=0, return_index=True, return_inverse=True)
    original = first[inverse.ravel()]
    copies = np.flatnonzero(original != np.arange(len(fingerprints)))
    found = [_pairs(original[copies], copies, np.ones(len(copies)), exact=True)]

    rows = np.sort(first)
    rows = rows[(fingerprints["views"][rows] != 0).any(axis=(2, 3)).all(axis=1)]  # the others show next to nothing
    views = fingerprints["views"][rows]
    orientations = _turns(views) if len(rows) > 1 else ()
    for turned, others in track(orientations, "comparing images in each orientation", _ORIENTATIONS):
        i, j, similarity = _similar_pairs(views, others, turned)
        found.append(_pairs(rows[np.minimum(i, j)], rows[np.maximum(i, j)], similarity, turned=turned))
    pairs = np.concatenate(found)
    pairs = pairs[np.lexsort((-pairs["similarity"], pairs["b"], pairs["a"]))]
    _, best = np.unique(pairs[["a", "b"]], return_index=True)
    return pairs[best]


def clusters(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """Return the cluster of each of `count` things, given pairs `a`, `b` of the same cluster.

    >>> clusters(np.array([0, 2]), np.array([2, 3]), 4).tolist()
    [0, 1, 0, 0]
    """
    edges = coo_array((np.ones(len(a), bool), (a, b)), shape=(count, count))
    found: np.ndarray = connected_components(edges, directed=False)[1]
    return found


def _pairs(
    a: np.ndarray, b: np.ndarray, similarity: np.ndarray, *, exact: bool = False, turned: bool = False
) -> np.ndarray:
    """Return PAIR records."""
    pairs = np.zeros(len(a), PAIR)
    pairs["a"], pairs["b"], pairs["similarity"], pairs["exact"], pairs["turned"] = a, b, similarity, exact, turned
    return pairs


def _turns(views: np.ndarray) -> Iterator[tuple[bool, np.ndarray]]:
    """Yield the hashes of the pictures as stored, then in the other orientations.

    Mirroring a picture changes the sign of its odd frequencies, transposing it swaps the axes. One of the quarter turns
    is left out: where a is b turned left, b is a turned right.
    """
    odd = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.int8)
    swapped = views.swapaxes(-1, -2)
    yield False, views
    yield from ((True, views * signs) for signs in (odd, odd[:, None], odd * odd[:, None]))
    yield from ((True, swapped * signs) for signs in (np.int8(1), odd, odd * odd[:, None]))


def _similar_pairs(views: np.ndarray, others: np.ndarray, turned: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return i, j and the similarity of pairs where picture i is similar to picture j of the others.

    These are the same pictures in another orientation; where not `turned`, the same array.
    """
    count = len(views)
    low = np.concatenate([each[:, 1, :_LOW, :_LOW] for each in ((views, others) if turned else (views,))])
    low = low.reshape(len(low), -1)[:, 1:]
    codes = [np.zeros(0, np.int64)]
    for left, right in _look_up(low > np.median(low[:count], axis=0)):
        low_end, high_end = np.minimum(left, right), np.maximum(left, right)
        if turned:  # only pairs of a picture and the turned form of another one
            kept = (low_end < count) & (high_end >= count) & (high_end - low_end != count)
            low_end, high_end = low_end[kept], high_end[kept] - count
        codes.append(low_end * count + high_end)
    i, j = np.divmod(np.unique(np.concatenate(codes)), max(count, 1))
    similarity = np.concatenate(
        [np.zeros(0)]
        + [_similarity(views[i[s : s + _BATCH]], others[j[s : s + _BATCH]]) for s in range(0, len(i), _BATCH)]
    )
    alike = similarity >= MIN_SIMILARITY
    return i[alike], j[alike], similarity[alike]


def _look_up(signs: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of `signs` (M, at most 64), some repeatedly, that are equal in a subset and in most other places."""
    padded = np.zeros((len(signs), 64), bool)
    padded[:, : signs.shape[1]] = signs
    signature = np.packbits(padded, axis=1).view("<u8")[:, 0]
    length = min(24, max(8, len(signs).bit_length() + 1))  # about as many keys as images, however many those are
    generator = np.random.default_rng(0)
    for _ in range(_TABLES):
        chosen = generator.choice(signs.shape[1], length, replace=False)
        key = (signs[:, chosen] @ (1 << np.arange(length))).astype(np.uint64)
        order = np.argsort(key << 40 | signature >> 24)  # crowded keys: most alike beside each other
        key = key[order]
        for step in range(1, min(_NEIGHBOURS, len(key) - 1) + 1):
            same = np.flatnonzero(key[step:] == key[:-step])
            if not len(same):
                break
            left, right = order[same], order[same + step]
            near = np.bitwise_count(signature[left] ^ signature[right]) <= _MAX_DIFFERING_SIGNS
            yield left[near], right[near]


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation of pairs of hashes: the lower one of the whole picture and its centre."""
    a, b = (each.reshape(len(each), 2, -1).astype(np.float32) for each in (a, b))
    product = (a * b).sum(axis=2) / np.sqrt((a * a).sum(axis=2) * (b * b).sum(axis=2))
    lower: np.ndarray = product.min(axis=1)
    return lower
