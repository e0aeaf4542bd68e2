"""What a dataset of Ray holds, written as chunks by Ray's tasks."""

from pyloader.errors import import_optional

import_optional("ray.data", wanted_by="pyloader.ray")

from pyloader.ray.chunk_sink import ChunkSink, write_chunks  # noqa: E402

__all__ = ["ChunkSink", "write_chunks"]
