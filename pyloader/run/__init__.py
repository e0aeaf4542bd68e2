"""One run of the loader: every step in its place."""

from pyloader.run.adapters import DeliveredState, HasPosition, LoaderAdapter
from pyloader.run.arguments import LoaderArguments
from pyloader.run.loader_options import MAX_QUEUE_SIZE, LoaderOptions
from pyloader.run.loop import Loop, State
from pyloader.run.options import RunOptions
from pyloader.run.resolving import resolve
from pyloader.run.run import ChunkRun
from pyloader.run.skipped import Quarantine

__all__ = [
    "MAX_QUEUE_SIZE",
    "ChunkRun",
    "DeliveredState",
    "HasPosition",
    "LoaderAdapter",
    "LoaderArguments",
    "LoaderOptions",
    "Loop",
    "Quarantine",
    "RunOptions",
    "State",
    "resolve",
]
