"""`python -m pyloader` is the `pyloader` command."""

from pyloader.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
