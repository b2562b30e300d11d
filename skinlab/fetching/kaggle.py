"""The login of Kaggle, from where its own clients keep it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from skinlab.errors import UserError

HOW = (
    "make an API token on https://www.kaggle.com/settings and put it into the environment variable KAGGLE_API_TOKEN or "
    "the file ~/.kaggle/access_token"
)


class BearerToken(AuthBase):
    """Send an API token with a request."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request with the token."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def kaggle_login() -> AuthBase | None:
    """Return the login, None where there is none; public data sets do without.

    Read are, in this order: ``KAGGLE_API_TOKEN`` (a token or a file with one), ``access_token`` of the folder
    ``KAGGLE_CONFIG_DIR`` (``~/.kaggle``), ``KAGGLE_USERNAME`` and ``KAGGLE_KEY``, and ``kaggle.json`` of that folder.

    Raises:
        UserError: ``kaggle.json`` can't be read.
    """
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or "~/.kaggle").expanduser()
    token = os.environ.get("KAGGLE_API_TOKEN", "").strip()
    for place in (Path(token) if token else None, folder / "access_token"):
        if place is not None and place.is_file():
            token = place.read_text(encoding="utf-8").strip()
            break
        if token:
            break
    if token:
        return BearerToken(token)
    name, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if not (name and key) and (folder / "kaggle.json").is_file():
        try:
            content = json.loads((folder / "kaggle.json").read_text(encoding="utf-8"))
            name, key = content["username"], content["key"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{folder / 'kaggle.json'} is no login of Kaggle: {HOW}") from None
    return HTTPBasicAuth(name, key) if name and key else None
