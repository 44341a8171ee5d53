"""`python -m tests.competitors [PEER ...]`: make the environments of the compared detectors.

Prints the interpreter of each on stdout, talk on stderr. Example: `python -m tests.competitors river`.
"""

from __future__ import annotations

import argparse
import sys

from deploy.setup.screen import SetupFailed
from tests.competitors.install import PEERS, environment


def main() -> int:
    """Make the environments that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.competitors", description=__doc__)
    parser.add_argument("peers", nargs="*", choices=[*PEERS, []], help="default: all")
    asked = parser.parse_args()
    try:
        for peer in asked.peers or PEERS:
            sys.stdout.write(f"{environment(peer)}\n")
    except SetupFailed as failure:
        sys.stderr.write(f"stopped: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
