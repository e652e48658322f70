"""``python -m cnnlib``; the commands are in ``cnnlib.cli``."""

import sys

from cnnlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
