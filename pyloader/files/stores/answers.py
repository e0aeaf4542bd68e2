"""What a server's refusal means: errors of obstore, told again without addresses, keys and bodies."""

from __future__ import annotations

import re

from pyloader.errors import ObjectExistsError, ObjectMissingError, StoreError
from pyloader.files.stores.addresses import Address

__all__ = ["KEYS_OF", "told_again"]

# obstore has one class for most errors; what came is in their text.  The first match is obstore's own: what the server
# has written follows it.
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{3,60})</Code>")
_KIND = re.compile(r"\bkind: (Timeout|Interrupted|Connect)\b")
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504, 509}
_PASSING_CODES = {"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}
# Paths at which the machines of a cloud ask for keys.
_ASKS_FOR_KEYS = re.compile(
    "/latest/api/token|/latest/meta-data/iam|/computeMetadata/v1/|/metadata/identity/|/msi/token"
)

KEYS_OF = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_PUBLIC = {"s3": "AWS_SKIP_SIGNATURE=true", "gs": "GOOGLE_SKIP_SIGNATURE=true", "az": "AZURE_SKIP_SIGNATURE=true"}
_ENDPOINT_OF = {"s3": "AWS_ENDPOINT_URL and AWS_REGION", "gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}


def told_again(exc: BaseException, address: Address, url: str, *, timeout_seconds: float) -> StoreError:
    """Return the error of this package that says what an error of obstore says.

    Nothing of the error's text gets into it but numbers, and words that are known: the text holds addresses with their
    signatures, and what the server wrote.

    Args:
      exc: What obstore raised.
      address: Of the store.
      url: Of the object, printable.
      timeout_seconds: After how long a silence it raises.
    """
    text, kind = str(exc), type(exc).__name__
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else ""
    said = f"{status}{f' {code}' if code else ''}"
    passing = code in _PASSING_CODES
    if address.scheme in KEYS_OF and _ASKS_FOR_KEYS.search(text.partition(" - ")[0]):
        hint = f"Set {KEYS_OF[address.scheme]}; or, where everybody may read, {_PUBLIC[address.scheme]}"
        return StoreError(url, "needs keys, and none were found.", hint, status=status)
    if status in (404, 410) or (status is None and isinstance(exc, FileNotFoundError)):
        if code in ("NoSuchBucket", "ContainerNotFound"):
            return ObjectMissingError(str(address), "has no such bucket or container (404).", status=404)
        return ObjectMissingError(url, "does not exist.", status=404)
    if kind == "AlreadyExistsError" and "performing PUT" in text and not passing:
        return ObjectExistsError(url, "is there already.", status=status)
    if isinstance(exc, NotImplementedError):
        return StoreError(url, "cannot be written: its server takes no writes, or none with a condition.")
    if status is not None:
        may_pass = passing or status in _MAY_PASS or 520 <= status < 530
        if may_pass:
            return StoreError(url, f"could not be accessed: the server answered {said}.", status=status, may_pass=True)
        return StoreError(
            url, f"was refused: the server answered {said}.", _remedy(status, code, address), status=status
        )
    return _without_answer(text, address, url, timeout_seconds)


def _remedy(status: int, code: str, address: Address) -> str:
    scheme = address.scheme
    if code in ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"):
        return "Set AWS_REGION to the region of the bucket"
    if code in ("ExpiredToken", "RequestExpired", "InvalidToken"):
        return "The keys have expired: get new ones, and set AWS_SESSION_TOKEN with them"
    if status in (401, 403) and scheme in KEYS_OF:
        return f"Set {KEYS_OF[scheme]} to keys that may do that; or, where everybody may read, {_PUBLIC[scheme]}"
    if status in (401, 403):
        hint = "Is a signature in the address that has expired?  Or give storage_options={'headers': {...}}"
        return f"{hint}, or the variable PYLOADER_HTTP_HEADERS='HOST NAME: VALUE'"
    return ""


def _without_answer(text: str, address: Address, url: str, timeout_seconds: float) -> StoreError:
    """Return the error for a request that no server has answered."""
    scheme = address.scheme
    where = f"Look at {_ENDPOINT_OF[scheme]}" if scheme in _ENDPOINT_OF else "Look at the address"
    lower = text.lower()
    if "badscheme" in lower:
        hint = "Write https://, or, where everybody on the way may read along: storage_options={'allow_http': True}"
        return StoreError(url, "cannot be had over plain http://.", hint)
    if "without location" in lower:
        return StoreError(url, "is redirected to nowhere, as for a bucket of another region.", "Set AWS_REGION")
    if "certificate" in lower:
        hint = "Name who has signed it: storage_options={'root_certificate': PEM}"
        return StoreError(url, "has a server whose certificate nobody here knows.", hint)
    kind = found[1] if (found := _KIND.search(text)) else ""
    if kind == "Timeout":
        return StoreError(url, f"could not be accessed: nothing came for {timeout_seconds:g} s.", may_pass=True)
    if kind == "Connect":
        why = "its server's name is unknown" if "dns" in lower or "lookup" in lower else "its server cannot be reached"
        return StoreError(url, f"could not be accessed: {why}.", where, may_pass=True)
    if kind == "Interrupted":
        return StoreError(url, "could not be accessed: the connection ended early.", may_pass=True)
    return StoreError(url, "could not be accessed: the request failed.", where)
