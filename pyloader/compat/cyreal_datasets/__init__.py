"""The datasets that cyreal brings; `pyloader.jax.datasets` is where they are imported from."""

from pyloader.errors import import_optional

import_optional("jax", wanted_by="pyloader.jax.datasets")

__all__: list[str] = []
