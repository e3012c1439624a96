"""`make frozen`: build the MicroPython with the agent frozen in."""

import argparse
import sys

from tools.frozen.build import NoFrozenVM, flash_bytes, frozen_vm, was_built
from tools.source_build import BuildError


def main() -> int:
    """Build it and say what it is; 1 with the reason where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m tools.frozen", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="only where it was built before, and the agent has changed since")
    if parser.parse_args().renew and not was_built():
        return 0
    try:
        frozen_vm()
        print(f"MicroPython with the agent frozen in, which takes {flash_bytes():,} bytes of flash")
    except (NoFrozenVM, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
