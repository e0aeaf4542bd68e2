"""The format of the chunks where the user named none: for Arrow tables it follows from the types."""

from __future__ import annotations

from pyloader.errors import SplitError
from pyloader.write.arrow_types import is_json_type, is_number_type, stored_schema
from pyloader.write.inputs import Inputs
from pyloader.write.layout import Layout
from pyloader.write.request import Request
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["first_layout", "parquet_instead"]


def first_layout(request: Request, inputs: Inputs) -> Layout:
    """Return what is known of the layout before a row is read.

    Arrow tables go to Parquet as they are, unless JSON lines, or arrays, give back the same.  Windows of tokens stay
    tokens.
    """
    schema, wanted = inputs.schema, request.output_format
    if inputs.windows is not None and request.encoder is None and wanted in (None, "tokens"):
        return Layout("tokens", stride=inputs.windows.stride if _follow_one_another(request, inputs) else 0)
    if schema is None or request.encoder is not None or wanted not in (None, "parquet"):
        return Layout(wanted, narrows=request.encoder is not None and wanted in (None, "columns"))
    if wanted == "parquet":
        return _of_tables(request, inputs, "")
    if all(map(is_number_type, schema.types)):
        return Layout()  # arrays, as long as there is no null
    odd = next((field for field in schema if not is_json_type(field.type)), None)
    return Layout() if odd is None else _of_tables(request, inputs, f"JSON cannot hold {odd.name}: {odd.type}")


def _follow_one_another(request: Request, inputs: Inputs) -> bool:
    """Tell whether each chunk has windows that overlap, each beginning in the one before it."""
    assert inputs.windows is not None
    overlap = inputs.windows.stride < inputs.windows.window
    moved = request.shuffle or request.holdout or request.where is not None or request.unique
    return overlap and not moved and len(inputs.sources) == 1


def parquet_instead(request: Request, inputs: Inputs, exc: SplitError) -> Layout | None:
    """Return the layout to begin again with, after a value that only Parquet holds; None when the error stands.

    The dump is read once more then: nothing has been written before its end where the format was left open.
    """
    unfit = exc.__cause__
    if not isinstance(unfit, UnfitColumnsError) or not unfit.parquet_holds:
        return None
    if request.output_format is not None or inputs.is_standard_input:
        return None
    why = f"{exc.path}:{exc.line} {unfit.what}"
    if inputs.schema is not None and request.encoder is None:
        return _of_tables(request, inputs, why)
    return Layout("parquet", why=why)


def _of_tables(request: Request, inputs: Inputs, why: str) -> Layout:
    try:
        schema = stored_schema(inputs.schema)
    except ValueError as exc:
        raise SplitError(request.shown_inputs(), f"{exc}.", "Keep other columns: --columns") from exc
    return Layout("parquet", "table", schema=schema.serialize().to_pybytes(), why=why)
