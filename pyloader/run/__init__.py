"""One run of a loader: every step in its place, and the loop that takes its batches."""

__all__: list[str] = []
