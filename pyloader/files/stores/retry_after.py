"""How long a busy server wants us to wait: obstore does not tell headers, so it is asked once more."""

from __future__ import annotations

import time
from datetime import timedelta

from pyloader.errors import import_optional
from pyloader.files.stores.addresses import Address
from pyloader.files.stores.connecting import Client

__all__ = ["retry_after"]

_ANSWER_SECONDS = 5.0


def retry_after(client: Client, address: Address, name: str) -> float | None:
    """Return the seconds of a busy server's header Retry-After; 0.0 when it is busy no more, None when unknown.

    It is asked by HEAD, at S3 with a signature that holds for a minute.  Servers of Google and Azure are not asked: a
    signature may take requests of its own there.
    """
    import urllib.error
    import urllib.request

    try:
        if address.scheme == "s3":
            sign = import_optional("obstore", wanted_by="data at s3://").sign
            url = sign(client, "HEAD", name, timedelta(minutes=1))
        elif address.scheme in ("http", "https"):
            url = f"{address.of(urllib.parse.quote(name))}{f'?{address.query}' if address.query else ''}"
        else:
            return None
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_ANSWER_SECONDS):
            return 0.0
    except urllib.error.HTTPError as answer:
        with answer:
            return _seconds(answer.headers.get("Retry-After", ""))
    except Exception:  # then the caller waits by its own rule
        return None


def _seconds(text: str) -> float | None:
    """Return what the header says, a number of seconds or a date, as seconds from now.

    >>> _seconds("120"), _seconds("soon")
    (120.0, None)
    """
    import email.utils

    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
