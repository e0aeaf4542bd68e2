"""What the command line looks at: chunks, damage, speed, memory."""

__all__: list[str] = []
