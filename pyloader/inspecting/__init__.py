"""What the command line inspects: chunks, damage, speed, memory."""

__all__: list[str] = []
