"""Fingerprints of images: content hash, size, format and perceptual hashes, by which the audit finds copies."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence, ValuesView

import cv2
import numpy as np
import pandas as pd

from skinlab.data.image_files import file_tail
from skinlab.data.images import BadImage, read_with_kind
from skinlab.processes.progress import Progress
from skinlab.processes.workers import count_progress, map_in_processes

MIN_SIDE = 16  # pixels; in smaller images no structure of a lesion is visible
FREQUENCIES = 12  # DCT coefficients a side and view

FINGERPRINT = np.dtype(
    [
        ("digest", "<u8", 2),  # of the upright RGB pixels at full size
        ("tail", "<u8"),  # of the last bytes of the file, see skinlab.data.image_files.file_tail
        ("width", "<i4"),  # pixels, upright
        ("height", "<i4"),
        ("kind", "S24"),  # format and mode as stored
        ("views", "i1", (2, FREQUENCIES, FREQUENCIES)),  # perceptual hash of the whole picture and of its centre
    ]
)

_THUMBNAIL = 64  # pixels a side
_CENTRE = slice(12, 52)  # five eighths: without the black corners, by which any two images of a round field are similar
_WHITENING = 1.5  # exponent, since natural images' coefficients decrease with frequency
_BLACK, _WHITE = 16, 240  # grey levels; a mask's pixels are below the first or not below the second, also in a JPEG
_MASK_SHARE = 0.98  # of the pixels; a photograph on a black or white background has more skin than the rest
IS_MASK = "is a mask: all black and white"
_MIN_SPREAD = 2.0  # standard deviation of a view in grey levels, below which its coefficients are noise
_CHUNK = 64  # images a task
_WORTH_STARTING = 256  # images below which processes take longer to start than to read


class ImageHashes(Mapping[str, str]):
    """Image id → hash in hexadecimal digits: of its upright pixels (32 digits) or of its file's end (16).

    It stores the digests' bytes and formats one on access, so that a million rows take little time and memory.

    Args:
        ids: image ids, distinct.
        digests: the ``digest``, (N, 2), or the ``tail``, (N,), of FINGERPRINT records.

    >>> hashes = ImageHashes(["a", "b"], np.array([[1, 0], [255, 0]], "<u8"))
    >>> hashes["b"]
    'ff000000000000000000000000000000'
    """

    def __init__(self, ids: Sequence[str] | pd.Series[str], digests: np.ndarray) -> None:
        self._ids, self._digests = pd.Index(ids), np.ascontiguousarray(digests)

    def __getitem__(self, image_id: str) -> str:
        digest: np.ndarray = self._digests[self._ids.get_loc(image_id)]
        return digest.tobytes().hex()

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def values(self) -> _InOrder:
        """Return the hashes in the order of the ids."""
        return _InOrder(self)


class _InOrder(ValuesView[str]):
    _mapping: ImageHashes

    def __iter__(self) -> Iterator[str]:  # without looking each id up
        return (digest.tobytes().hex() for digest in self._mapping._digests)


def content_digest(pixels: np.ndarray) -> bytes:
    """Return the content hash of upright RGB pixels at full size: 16 bytes of the SHA-256 of them and their shape."""
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}".encode())
    digest.update(pixels.data)
    return digest.digest()[:16]


def fingerprint(path: str) -> np.ndarray:
    """Read one image in full and return its FINGERPRINT record, shape ().

    Raises:
        BadImage: it can't be read, is smaller than MIN_SIDE, has one colour only, is nearly black, or a mask.
    """
    pixels, kind = read_with_kind(path)
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise BadImage.at(path, f"has only {width}x{height} pixels, {MIN_SIDE} a side are needed")
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    if np.ptp(thumbnail) <= 1:
        raise BadImage.at(path, "is blank: one colour all over")
    if _extreme_share(thumbnail) >= 0.5 and (fault := _no_photograph(grey)):  # a check that few photographs need
        raise BadImage.at(path, fault)
    record = np.zeros((), FINGERPRINT)
    record["digest"] = np.frombuffer(content_digest(pixels), "<u8")
    record["tail"] = np.frombuffer(bytes.fromhex(file_tail(path) or "00" * 8), "<u8")[0]
    record["width"], record["height"], record["kind"] = width, height, kind.encode()
    record["views"] = perceptual_hash(thumbnail), perceptual_hash(thumbnail[_CENTRE, _CENTRE])
    return record


def _no_photograph(grey: np.ndarray) -> str:
    """Return what is wrong with an image's grey levels, uint8 (H, W); an empty text if nothing."""
    if grey.max() < _BLACK:
        return f"is nearly black: no pixel reaches {_BLACK} of 255 (a label map, or values of another range)"
    return IS_MASK if is_mask(grey) else ""


def is_mask(pixels: np.ndarray) -> bool:
    """Return whether an image, uint8 of any shape, is black and white only."""
    return _extreme_share(pixels) >= _MASK_SHARE and bool(np.ptp(pixels) >= _WHITE - _BLACK)


def _extreme_share(grey: np.ndarray) -> float:
    """Return the share of pixels that are nearly black or nearly white."""
    return float(((grey < _BLACK) | (grey >= _WHITE)).mean())


def perceptual_hash(grey: np.ndarray) -> np.ndarray:
    """Return the lowest frequencies of a picture, independent of its brightness and contrast.

    As pHash (Zauner 2010) it starts from the discrete cosine transform; it keeps the coefficients themselves, in 8
    bits, instead of their signs, since dermoscopic images share their coarse layout (dark blob on light skin).

    Args:
        grey: (N, N) float32.

    Returns:
        int8 (FREQUENCIES, FREQUENCIES), rows vertical frequency; all zero for a picture of nearly one colour.
    """
    if grey.std() < _MIN_SPREAD:
        return np.zeros((FREQUENCIES, FREQUENCIES), np.int8)
    step = np.arange(FREQUENCIES, dtype=np.float32)
    basis = np.cos(np.pi / len(grey) * step[:, None] * (np.arange(len(grey)) + 0.5)).astype(np.float32)
    basis[0] /= np.sqrt(2)
    coefficients = (basis @ grey @ basis.T) * (step[:, None] ** 2 + step**2) ** (_WHITENING / 2)
    quantised: np.ndarray = np.rint(coefficients * (127 / np.abs(coefficients).max())).astype(np.int8)
    return quantised


def fingerprint_all(paths: Sequence[str], num_workers: int) -> tuple[np.ndarray, dict[int, str]]:
    """Return the fingerprints of many images.

    Args:
        paths: files.
        num_workers: processes.

    Returns:
        FINGERPRINT records (N,), and position → reason of those that can't be used.

    Raises:
        UserError: a process was killed, or has stopped.
    """
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    alone = num_workers < 2 or len(paths) < _WORTH_STARTING
    found = map(_fingerprint_chunk, chunks) if alone else map_in_processes(_fingerprint_chunk, chunks, num_workers)
    done = []
    with Progress("reading images", len(paths)) as progress:
        for each in found:
            done.append(each)
            progress.advance(len(each[0]))
    records = np.concatenate([records for records, _ in done]) if done else np.zeros(0, FINGERPRINT)
    bad = {number * _CHUNK + at: reason for number, (_, reasons) in enumerate(done) for at, reason in reasons.items()}
    return records, bad


def _fingerprint_chunk(paths: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
    """Return the fingerprints of some images in this process."""
    records = np.zeros(len(paths), FINGERPRINT)
    bad = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about odd metadata; an unreadable image raises
        for at, path in enumerate(paths):
            count_progress()
            try:
                records[at] = fingerprint(path)
            except BadImage as error:
                bad[at] = error.reason
    return records, bad
