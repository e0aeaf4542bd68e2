"""Types of Arrow: which two have a common one, which JSON gives back as they are, and what a reader makes of them."""

from __future__ import annotations

from typing import Any

from pyloader.columns import ColumnSpec
from pyloader.errors import import_optional

__all__ = ["bare_type", "common_type", "is_json_type", "is_number_type", "spec_of_type", "stored_schema"]


def bare_type(kind: Any) -> Any:
    """Return the type without what is only a way to store its values: dictionaries, and views of text."""
    from pyarrow import string, types

    if types.is_dictionary(kind):
        return bare_type(kind.value_type)
    return string() if str(kind) == "string_view" else kind


def common_type(one: Any, other: Any) -> Any:
    """Return the type that holds the values of both as they are; None when there is none.

    The whole numbers and fractions that it cannot hold exactly are found when they are read.
    """
    import pyarrow
    from pyarrow import types

    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if types.is_list(one) and types.is_list(other):
        inner = common_type(one.value_type, other.value_type)
        return inner and pyarrow.list_(inner)
    if types.is_struct(one) and types.is_struct(other) and [f.name for f in one] == [f.name for f in other]:
        fields = [(left.name, common_type(left.type, right.type)) for left, right in zip(one, other, strict=True)]
        return pyarrow.struct(fields) if all(kind is not None for _, kind in fields) else None
    alike = (_is_plain_number, types.is_decimal, _is_text, _is_binary)
    if not any(test(one) and test(other) for test in alike) and not _is_same_clock(one, other):
        return None
    schemas = [pyarrow.schema([("x", kind)]) for kind in (one, other)]
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pyarrow.ArrowException:
        return None


def is_json_type(kind: Any) -> bool:
    """Tell whether JSON lines give a column of this type back as a Parquet chunk does, finite numbers supposed."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return is_json_type(kind.value_type)
    if types.is_struct(kind):
        names = [field.name for field in kind]
        return len(set(names)) == len(names) and all(is_json_type(field.type) for field in kind)
    return any(test(kind) for test in (_is_text, types.is_boolean, types.is_int64, types.is_float64, types.is_null))


def is_number_type(kind: Any) -> bool:
    """Tell whether a column of this type is an array, when it has no null: numbers, dates, lists of one length."""
    from pyarrow import types

    kind = kind.value_type if types.is_fixed_size_list(kind) else kind
    tests = (_is_plain_number, types.is_boolean, types.is_timestamp, types.is_date, types.is_duration)
    return any(test(kind) for test in tests)


def spec_of_type(name: str, kind: Any, *, has_null: bool) -> ColumnSpec:
    """Return what ParquetReader makes of a column of this type."""
    import pyarrow
    from pyarrow import types

    fixed = types.is_fixed_size_list(kind)
    if is_number_type(kind) and not has_null:
        numbers = pyarrow.array([], kind.value_type if fixed else kind).to_numpy(zero_copy_only=False)
        return ColumnSpec(name, "array", numbers.dtype.str, (kind.list_size,) if fixed else ())
    for word, tests in (
        ("", (types.is_null,)),
        ("str", (_is_text,)),
        ("bytes", (_is_binary, types.is_fixed_size_binary)),
        ("bool", (types.is_boolean,)),
        ("int", (types.is_integer,)),
        ("float", (types.is_floating,)),
        ("list", (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_map)),
        ("dict", (types.is_struct,)),
    ):
        if any(test(kind) for test in tests):
            return ColumnSpec(name, word)
    return ColumnSpec(name, "object")


def stored_schema(schema: Any) -> Any:
    """Return the schema that a Parquet file gives back for `schema`: it has no seconds, for one, but milliseconds.

    Raises:
      ValueError: Parquet has no such type; the text names it.
    """
    import io

    import pyarrow

    parquet = import_optional("pyarrow.parquet", wanted_by="The format parquet")
    fields = []
    for field in schema:
        file = io.BytesIO()
        try:
            parquet.write_table(pyarrow.schema([field]).empty_table(), file)
        except pyarrow.ArrowException as exc:
            raise ValueError(f"has {field.name!r} as {field.type}, which Parquet cannot hold") from exc
        fields.append(field.with_type(parquet.read_schema(file).field(0).type))
    return pyarrow.schema(fields, metadata=schema.metadata)


def _is_plain_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view")


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or str(kind) == "binary_view")


def _is_same_clock(one: Any, other: Any) -> bool:
    from pyarrow import types

    if types.is_timestamp(one) and types.is_timestamp(other):
        return bool(one.tz == other.tz)
    return bool(types.is_duration(one) and types.is_duration(other))
