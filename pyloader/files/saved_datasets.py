"""Directories that save_to_disk of Hugging Face's datasets has written: which of their files are the dataset.

`state.json` lists them.  Others that lie there are the cache of `map`, or were left by an earlier save.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pyloader.errors import DataDirError

__all__ = ["is_in_saved_dataset", "without_unlisted"]

_STATE, _INFO = "state.json", "dataset_info.json"
_AGAIN = "Save it again: dataset.save_to_disk(...)"


def is_in_saved_dataset(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file lies in such a directory."""
    return all(os.path.isfile(os.path.join(os.path.dirname(path), name)) for name in (_STATE, _INFO))


def without_unlisted(root: Path, chunks: Mapping[str, int]) -> dict[str, int]:
    """Return the chunks of a walk (name -> bytes) without what such a directory does not list, and without its list.

    Raises:
      DataDirError: the list is damaged, or a file that it names is not there.
    """
    left = dict(chunks)
    for state in [name for name in chunks if os.path.basename(name) == _STATE]:
        place = root / os.path.dirname(state)
        if not (place / _INFO).is_file():
            continue
        listed = _listed(place)
        prefix = state[: -len(_STATE)]
        if missing := next((name for name in listed if prefix + name not in chunks), None):
            raise DataDirError(str(place), f"lists {missing[:255]} in {_STATE}, which is not there.", "Fetch it again")
        for name in chunks:
            if name.startswith(prefix) and "/" not in name[len(prefix) :] and name[len(prefix) :] not in listed:
                del left[name]
    return left


def _listed(place: Path) -> set[str]:
    try:
        said = json.loads((place / _STATE).read_bytes())
        names = {one["filename"] for one in said["_data_files"]}
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise DataDirError(str(place), f"has a {_STATE} that is damaged ({exc}).", _AGAIN) from exc
    if wrong := [name for name in names if not isinstance(name, str) or os.path.basename(name) != name]:
        raise DataDirError(
            str(place), f"lists {str(wrong[0])[:255]!r} in {_STATE}, which is no name of a file.", _AGAIN
        )
    return names
