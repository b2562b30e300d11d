"""Download the weights of a repository of Hugging Face's hub into the hub's cache."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from skinlab.errors import UserError, some
from skinlab.models.repository import RECORDS, WEIGHTS

HUB = "https://huggingface.co"
TIMEOUT = 3.0  # seconds for a response of the hub; its own client takes a minute
PREFIX = "hf-hub:"


def download_weights(init: str) -> Path:
    """Return the weights file of a repository in the hub's cache, to which it is downloaded if it is not there.

    A repository in the cache is used as it is, without the network, so that all runs of a sweep start from the same
    weights. Everything that goes through the network for ``hf-hub:`` is here; the endpoint, the cache and the token are
    those of the hub's own client (``HF_ENDPOINT``, ``HF_HOME``, ``HF_TOKEN``).

    Args:
        init: ``hf-hub:OWNER/NAME``, or ``hf-hub:OWNER/NAME@REVISION``.

    Raises:
        UserError: there is no such repository, no access, no file of weights in it, or no network.
    """
    place, (repository, _, revision) = f"model.init={init}", init.removeprefix(PREFIX).partition("@")
    revision = revision or "main"
    for name in WEIGHTS:
        if isinstance(known := try_to_load_from_cache(repository, name, revision=revision), str):
            return Path(known)
    if reason := hub_fault():
        raise UserError(
            f"{place}: it is not in the cache, and the hub can't be reached ({reason}); where there is a network: "
            f"hf download {repository} --local-dir DIR, then model.init=DIR"
        )
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    try:
        files = HfApi(endpoint=endpoint).model_info(repository, revision=revision).siblings or []
        names = [file.rfilename for file in files]
        if (weights := next((name for name in WEIGHTS if name in names), None)) is None:
            there = some(names, 6) or "no file"
            raise UserError(f"{place} has none of {', '.join(WEIGHTS)}, but {there}; give model.init=FILE")
        # The weights come last: once they are in the cache, so is what is said of them.
        for name in (*(name for name in RECORDS if name in names), weights):
            path = hf_hub_download(repository, name, revision=revision, endpoint=endpoint)
        return Path(path)
    except UserError:
        raise
    except Exception as error:  # of the hub's client, of its HTTP library, or of the disk
        raise UserError(f"{place}{_why_not_downloaded(error, f'{endpoint}/{repository}')}") from None


def _why_not_downloaded(error: Exception, address: str) -> str:
    """Return the mistake and the remedy behind an error of the hub's client."""
    if isinstance(error, GatedRepoError):
        return f" is gated: accept its licence at {address}, then hf auth login, or set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f": no such repository of models, or a private one; look at {address}, for a private one: hf auth login"
    if isinstance(error, RevisionNotFoundError):
        return f": no such revision; {address}/commits/main lists them"
    reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
    return f": the download failed ({reason}); repeat the command"


def hub_fault() -> str:
    """Return within seconds why the hub can't be reached, also behind a proxy; an empty text if it can."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    faults: list[str] = []
    # The lookup of the name has no timeout, hence a thread, which may go on running.
    request = threading.Thread(target=lambda: faults.append(_request_fault(endpoint)), daemon=True)
    request.start()
    request.join(TIMEOUT)
    return faults[0] if faults else f"{endpoint} does not respond within {TIMEOUT:.0f} s"


def _request_fault(endpoint: str) -> str:
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return ""
    except urllib.error.HTTPError:
        return ""  # a response; the hub's client reports the error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        # The hub's client may accept a certificate that this Python does not.
        return "" if type(reason).__name__ == "SSLCertVerificationError" else f"{endpoint}: {reason}"
