"""`python -m common` is `zoo`."""

import sys

from common.commands.program import main

if __name__ == "__main__":
    sys.exit(main())
