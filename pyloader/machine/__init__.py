"""What the machine has: memory, processors, open files, a terminal."""

__all__: list[str] = []
