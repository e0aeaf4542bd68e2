"""Random access: datasets whose items are reached by index, and lazy operations on them."""
