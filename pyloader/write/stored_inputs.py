"""Inputs in object stores: the objects that an address names, or all below it, or those that match its pattern."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from functools import partial

from pyloader.errors import ObjectMissingError, SplitError
from pyloader.files import store_scheme
from pyloader.files.address_patterns import above_pattern, is_pattern, matches
from pyloader.files.fetching import ask_again
from pyloader.files.stores import Address, Stored, parse_address, printable
from pyloader.write.input_files import InputFile, place_of, store_of

__all__ = ["stored_inputs"]

_WEB = ("http", "https")
_WEB_NAMES = "On the web an address names one file, and lists none"
_PASSED_OVER = (".", "_")  # how names begin that systems give to what is no data: _SUCCESS, .part-0.crc


def stored_inputs(url: str, column: str = "") -> list[InputFile]:
    """Return what an address names, sorted by address: an object; those that match a pattern; or all below a prefix.

    In a pattern * stands for all within a name, and ** for any number of directories, as on a disk.  Below a prefix,
    names that begin with . or _ are passed over, and empty objects.

    Args:
      url: The address.
      column: The column that it was named for.

    Raises:
      SplitError: nothing is there, or a user, a password or a query stands in the address.
      StoreError: the store cannot be asked.
    """
    if "?" in url and store_scheme(url).lower() not in _WEB:
        what = "is followed by a ?, which begins a query, and stands for no letter of a name."
        raise SplitError(printable(url), what, "In a pattern write * or [0-9]")
    address = parse_address(url)
    if address.user or address.query:
        what = "has a password or a signature in it, which would have to be written down for those who read it."
        raise SplitError(str(address), what, "Pipe it: curl ADDRESS | pyloader split - DIR --from jsonl")
    found = _matching(address) if is_pattern(address) else _named(address)
    if not found:
        raise SplitError(str(address), "there is no such object, and nothing below it.", _how(address))
    return [_input_of(address, stored, column) for stored in sorted(found, key=lambda stored: stored.name)]


def _how(address: Address) -> str:
    """Return what to do where nothing is found: a prefix may be the beginning of names, and no directory."""
    is_prefix = not is_pattern(address) and "." not in address.parent()[1]
    return f"A pattern names all that begins so: {shlex.quote(f'{address}*')}" if is_prefix else ""


def _named(address: Address) -> list[Stored]:
    """Return the object at an address; where there is none, those below it."""
    store, name = place_of(address)
    one: list[Stored] = []
    if name:
        try:
            one = [_from_bucket(address.parent()[0], ask_again(partial(store.head, name)))]
        except ObjectMissingError as exc:
            if address.scheme in _WEB:
                raise SplitError(str(address), exc.what, _WEB_NAMES) from exc
    if address.scheme in _WEB or any(stored.size for stored in one):
        return one
    start = len(address.path)
    below = [stored for stored in _listed(address) if stored.size and not _is_no_data(stored.name[start:].split("/"))]
    return below or one  # some servers have an empty object for a directory


def _matching(address: Address) -> list[Stored]:
    """Return the objects that match a pattern, or the one that has it for a name."""
    patterns = address.path.split("/")
    listed = _listed(above_pattern(address))
    found = [stored for stored in listed if matches(stored.name.split("/"), patterns)]
    return found or [stored for stored in listed if stored.name == address.path]


def _listed(directory: Address) -> list[Stored]:
    """Return the objects below a directory, by their whole names in the bucket."""
    return [_from_bucket(directory, stored) for stored in ask_again(lambda: list(store_of(directory).list()))]


def _from_bucket(directory: Address, stored: Stored) -> Stored:
    return Stored(f"{directory.path}/{stored.name}".lstrip("/"), stored.size, stored.version, stored.modified)


def _is_no_data(parts: Iterable[str]) -> bool:
    return any(part.startswith(_PASSED_OVER) for part in parts)


def _input_of(address: Address, stored: Stored, column: str) -> InputFile:
    is_web = address.scheme in _WEB
    path = str(address) if is_web else f"{address.scheme}://{address.place}/{stored.name}"
    modified_ns = 0 if stored.modified is None else int(stored.modified * 1e9)
    return InputFile(path, stored.size, modified_ns, column, stored.version)
