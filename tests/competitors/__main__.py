"""`python -m tests.competitors [COMPETITOR ...]`: create the environments of the competitors.

Prints the interpreter of each on stdout and progress on stderr. Example:
`python -m tests.competitors river`.
"""

from __future__ import annotations

import argparse
import sys

from deploy.setup.screen import SetupFailed
from tests.competitors.install import COMPETITORS, environment


def main() -> int:
    """Create the environments that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.competitors", description=__doc__)
    parser.add_argument("competitors", nargs="*", choices=[*COMPETITORS, []], help="default: all")
    arguments = parser.parse_args()
    try:
        for competitor in arguments.competitors or COMPETITORS:
            sys.stdout.write(f"{environment(competitor)}\n")
    except SetupFailed as failure:
        sys.stderr.write(f"stopped: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
