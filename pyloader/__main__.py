"""`python -m pyloader` is the `pyloader` command."""

import os
import sys

from pyloader.cli.main import main

if __name__ == "__main__":
    # Python has put the working directory first in sys.path, and what is imported later must not be found in it: it may
    # be a stranger's.  Where this package was found in it, it is not.
    here, home = os.getcwd(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[:1] == [here] and not sys.flags.safe_path and home != here:
        del sys.path[0]
    raise SystemExit(main())
