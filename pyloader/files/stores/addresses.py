"""Addresses of object stores (s3://bucket/data): taken apart, and written without what is secret in them."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass, field

from pyloader.errors import StoreError

__all__ = ["Address", "parse_address", "printable", "store_scheme"]

# One slash is enough: pathlib makes s3:/bucket of s3://bucket.  One letter is a drive of Windows.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}([^/?#]*)([^?]*)(?:\?(.*))?", re.DOTALL)
_SAME = {"s3a": "s3", "gcs": "gs", "azure": "az"}
_WEB = ("http", "https")


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a store.  `str` and `repr` show nothing that is secret.

    Attributes:
      scheme: "s3", "gs", "az", "http", "https", "file", or another.
      place: The bucket, the container, or the host with its port; "" for file.
      path: Below it, with forward slashes, none at the ends.
      user: What stands before an "@" in the host ("name:password"); secret.
      query: What stands behind a "?" (a signature); secret.
    """

    scheme: str
    place: str
    path: str
    user: str = field(default="", repr=False)
    query: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}/{self.path}".rstrip("/")

    def of(self, name: str) -> str:
        """Return how the object `name` below this address is called in messages."""
        return f"{self}/{name}" if name else str(self)

    def parent(self) -> tuple[Address, str]:
        """Return the address above, and the name of this place there; both "" and itself for a whole bucket."""
        above, _, name = self.path.rpartition("/")
        return dataclasses.replace(self, path=above), name


def store_scheme(place: str | os.PathLike[str]) -> str:
    """Return the scheme of an address, "" for a path.

    >>> store_scheme("s3://bucket/chunks"), store_scheme("chunks/train")
    ('s3', '')
    """
    match = _ADDRESS.match(os.fspath(place))
    return match[1] if match else ""


def parse_address(url: str | os.PathLike[str]) -> Address:
    """Take an address apart.

    >>> parse_address("s3://bucket/chunks/train/")
    Address(scheme='s3', place='bucket', path='chunks/train')

    Raises:
      StoreError: it names no bucket or host; or a password or a query stands in an address that cannot have one.
    """
    text = os.fspath(url)
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise StoreError(printable(text), "is no address of a store.", "Write one such as s3://bucket/data")
    scheme = _SAME.get(parts[1].lower(), parts[1].lower())
    user, _, place = parts[2].rpartition("@")
    path, query = parts[3], parts[4] or ""
    if scheme == "file":  # file:///data, and file:/data as pathlib writes it
        return Address(scheme, "", text[len("file:") :].strip("/"))
    if scheme in ("abfs", "abfss"):
        hint = "Write az://CONTAINER/DATA, and the account in AZURE_STORAGE_ACCOUNT_NAME"
        raise StoreError(printable(text), "is an address of Azure that is not known here.", hint)
    if scheme in _WEB:
        path = path.partition("#")[0]
    address = Address(scheme, place, path.strip("/"), user, query)
    if not place:
        raise StoreError(str(address), "names no bucket or host.", f"Write {scheme}://BUCKET/DATA")
    if scheme not in _WEB and (user or query):
        found = "a password or a user" if user else "a query"
        hint = "Give keys and options in storage_options={...}, or in the variables of the environment"
        raise StoreError(str(address), f"has {found} in it, which belongs into no address.", hint)
    return address


def printable(text: str) -> str:
    """Return an address, or a path, without user, password, query and fragment.

    >>> printable("https://me:word@host/data/a.npy?signature=1")
    'https://host/data/a.npy'
    """
    if not store_scheme(text):
        return text
    text = re.split(r"[?#]", text, maxsplit=1)[0]
    return re.sub(r"^([^:]+:/+)[^/]*@", r"\1", text)
