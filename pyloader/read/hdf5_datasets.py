"""The datasets of an open HDF5 file that may be read, and where in the file they lie.

A file may come from a stranger, and HDF5 follows its links to other files, and takes data out of them.  So each link
and each layout is looked at before h5py is let in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from pyloader.errors import ChunkReadError, import_optional
from pyloader.part import joined_ranges
from pyloader.read.array_rows import common_rows

__all__ = ["StoredRows", "bytes_beside", "datasets_of", "row_bytes"]

_REFERENCE_BYTES = 64  # about, of a row of unequal length; what it says is stored elsewhere
_NAME_THEM = "Name the datasets to read: columns=[...]"


def datasets_of(file: Any, path: str, columns: Sequence[str] | None) -> dict[str, Any]:
    """Return the datasets of these paths, by path; None: those of the root that have rows.

    Raises:
      ChunkReadError: there are none; one is not there, cannot be read, or has another length than the others.
    """
    if columns is None:
        found = {name: data for name, data in _of_group(file, path) if data is not None}
        if not found:
            raise _no_rows(file, path)
    else:
        found = {name: _at(file, path, name) for name in columns}
        if not found:
            raise ChunkReadError(path, "is to be read without a column.", _NAME_THEM)
    for name, data in found.items():
        _check_kind(data, path, name)
    common_rows(path, {name: len(data) for name, data in found.items()}, _NAME_THEM)
    return found


def row_bytes(data: Any) -> int:
    """Return about how many bytes of memory a row of a dataset takes."""
    count = int(data.size) // max(1, len(data))
    return count * (_REFERENCE_BYTES if data.dtype.hasobject else int(data.dtype.itemsize))


class StoredRows:
    """Where in the file the rows of a dataset lie, without what leads there.

    Args:
      data: The dataset, known to lie in this file.
    """

    def __init__(self, data: Any) -> None:
        # (first row, start, stop) of each storage chunk, in the order of rows; the last two in bytes of the file
        self._chunks: list[tuple[int, int, int]] = []
        self._start, self._row_bytes, self._num_rows = 0, 0, len(data)
        if data.chunks is not None:
            if data.size:
                data.id.chunk_iter(self._note)
            self._chunks.sort()
        elif (offset := data.id.get_offset()) is not None:
            self._start, self._row_bytes = offset, data.id.get_storage_size() // max(1, len(data))

    def ranges(self, first: int = 0, stop: int | None = None) -> list[tuple[int, int]]:
        """Return the (start, stop) in bytes of the rows [first, stop), which are whole storage chunks; None: all."""
        stop = self._num_rows if stop is None else stop
        if not self._chunks:
            return [(self._start + first * self._row_bytes, self._start + stop * self._row_bytes)]
        low, high = (bisect_left(self._chunks, (row,)) for row in (first, stop))
        return [(start, end) for _, start, end in self._chunks[low:high]]

    def _note(self, chunk: Any) -> None:
        self._chunks.append((chunk.chunk_offset[0], chunk.byte_offset, chunk.byte_offset + chunk.size))


def bytes_beside(file: Any, size: int) -> list[tuple[int, int]]:
    """Return the (start, stop) in bytes of the file where no dataset's rows lie: what leads there, and heaps."""
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    datasets: list[Any] = []

    def note(_name: str, found: Any) -> None:  # of hard links alone
        if isinstance(found, h5py.Dataset) and not _elsewhere(found):
            datasets.append(found)

    file.visititems(note)
    beside, place = [], 0
    for start, stop in joined_ranges([place for data in datasets if data.shape for place in StoredRows(data).ranges()]):
        beside.append((place, start))
        place = stop
    return [(start, stop) for start, stop in [*beside, (place, size)] if start < stop]


def _of_group(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the datasets that a group holds, by name; None for what is none, or has no rows."""
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    for name in group:
        found = _linked(group, path, name)
        is_data = isinstance(found, h5py.Dataset)
        if is_data:
            _check_place(found, path, name)
        yield name, found if is_data and found.shape else None


def _at(file: Any, path: str, name: str) -> Any:
    """Return the dataset of a path, each step of which is looked at."""
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    found = file
    for step in name.strip("/").split("/"):
        if not isinstance(found, h5py.Group) or step not in list(found):
            there = ", ".join(map(repr, _paths(file))) or "no datasets"
            raise ChunkReadError(path, f"has no dataset {name!r}; it has {there}.", _NAME_THEM)
        found = _linked(found, path, step)
    if not isinstance(found, h5py.Dataset):
        raise ChunkReadError(path, f"has {name!r}, which is no dataset.", _NAME_THEM)
    _check_place(found, path, name)
    if not found.shape:
        raise ChunkReadError(path, f"has {name!r}, a single value, not rows.", _NAME_THEM)
    return found


def _linked(group: Any, path: str, name: str) -> Any:
    """Return what a group holds by that name; a link to anywhere is an error, and is not followed."""
    link = group.get(name, getlink=True)
    if type(link).__name__ == "HardLink":
        return group[name]
    leads_to = getattr(link, "path", "")
    if there := getattr(link, "filename", ""):
        what = f"has {name!r}, a link to the file {there[:255]!r}, and no other file is opened."
        raise ChunkReadError(path, what, f"Copy the rows into this one. {_NAME_THEM}")
    what = f"has {name!r}, a link to {leads_to[:255]!r}, and links are not followed."
    raise ChunkReadError(path, what, f"Name what it leads to: columns=[{leads_to[:255]!r}, ...]")


def _elsewhere(data: Any) -> str:
    """Return what holds a dataset's rows, where it is not the file itself; else ""."""
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    made = data.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL:
        return "other datasets (it is virtual)"
    return (
        f"another file, {made.get_external(0)[0].decode(errors='replace')[:255]!r}" if made.get_external_count() else ""
    )


def _check_place(data: Any, path: str, name: str) -> None:
    """Raise where the rows lie elsewhere, or are packed by what h5py does not know; before anything else is asked."""
    if elsewhere := _elsewhere(data):
        what = f"has {name!r}, whose rows are in {elsewhere}, and no other is opened."
        raise ChunkReadError(path, what, "Copy them to a dataset of its own: file['copy'] = file[...][:]")
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    made = data.id.get_create_plist()
    for number, _, _, label in (made.get_filter(index) for index in range(made.get_nfilters())):
        if not h5py.h5z.filter_avail(number):
            wanted_by = f"{path}: {name!r}, packed by filter {number} ({label.decode(errors='replace')}),"
            import_optional("hdf5plugin", wanted_by=wanted_by)  # which makes its filters known
            if not h5py.h5z.filter_avail(number):
                what = f"has {name!r} packed by filter {number}, which neither h5py nor hdf5plugin knows."
                raise ChunkReadError(path, what, "Write it anew with another compression: compression='gzip'")


def _check_kind(data: Any, path: str, name: str) -> None:
    """Raise where the values are none that a column can be made of."""
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    dtype, what = data.dtype, ""
    item = h5py.check_vlen_dtype(dtype)
    if h5py.check_ref_dtype(dtype) is not None:
        what = "references, which are no samples"
    elif dtype.names is not None:
        what = f"compounds of {', '.join(map(repr, dtype.names))}"
    elif (h5py.check_string_dtype(dtype) is not None or item is not None) and len(data.shape) > 1:
        what = f"strings, or rows of unequal length, in {len(data.shape)} dimensions"
    elif item not in (None, str, bytes) and item.kind not in "biufc":
        what = "rows of unequal length that are no numbers"
    elif dtype.kind not in "biufcmMOS" or (dtype.kind == "O" and item is None):
        what = f"values of an unknown kind ({dtype})"
    if what:
        raise ChunkReadError(path, f"has {name!r}, which holds {what}.", _NAME_THEM)


def _paths(file: Any) -> list[str]:
    h5py = import_optional("h5py", wanted_by="Hdf5Reader")
    names: list[str] = []
    file.visititems(lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None)
    return names[:20]


def _no_rows(file: Any, path: str) -> ChunkReadError:
    if there := _paths(file):
        what = f"has no datasets with rows at its root, but {', '.join(map(repr, there))}."
        return ChunkReadError(path, what, f"Name those to read: columns=[{there[0]!r}, ...]")
    return ChunkReadError(path, "holds no datasets.")
