"""The version and the name under which the package is distributed."""

__all__ = ["DISTRIBUTION", "VERSION"]

VERSION = "0.1.0"

# The import name is pyloader; another project owns that name on the package index.
DISTRIBUTION = "pyloader-stream"
