"""The `pyloader` command: main chooses, one module per command does, screens says how it looks."""

__all__: list[str] = []
