"""`make test-chip`: build the chip's firmware if need be, start the chip, run the tests of the firmware on it.

Exit status: pytest's; 77 (a test program's way to say that it was skipped) where the chip cannot be had, with the reason. Arguments are
passed to pytest.
"""

import subprocess
import sys

from tools.chip.build import NoChip, firmware
from tools.chip.emulator import SETUP, Chip
from tools.paths import ROOT

_UNAVAILABLE = 77
_PATIENCE = "8"  # the emulated chip takes that much longer for an RSA signature than the VM


def main() -> int:
    """Do it."""
    try:
        with Chip(firmware()) as chip:
            command = [sys.executable, "-m", "pytest", "host_tests/device", "-n", "0", "--board", chip.terminal]
            command += ["--board-setup", SETUP.read_text(), "--board-title", "cortex-m3", "--board-patience", _PATIENCE]
            return subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=False).returncode
    except NoChip as error:
        print(error, file=sys.stderr)
        return _UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
