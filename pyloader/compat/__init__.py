"""What other libraries bring under names of their own, for programs that come from there.

Nothing here is needed by the rest: the doors name it, and it is imported when such a name is used.
"""

__all__: list[str] = []
