"""Run a piece of a fault test on the MicroPython VM."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tools.paths import FIRMWARE, LIB, ROOT
from tools.vm import find_vm

HERE = Path(__file__).resolve().parent
DEVICE = HERE.parent / "device"  # where the cloud that is played to the agent lies
Figure = Callable[[str], None]


def on_vm(code: str, folder: Path, figure: Figure, timeout: float = 600) -> str:
    """What the VM prints, which is a figure of the test; the test fails when it does not end well."""
    path = ":".join([*map(str, (HERE, DEVICE, ROOT / "tools" / "vm_side", FIRMWARE, LIB)), ".frozen"])
    command = [find_vm(), "-X", "heapsize=16M", "-c", code]
    ran = subprocess.run(
        command,
        cwd=folder,
        env={"MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    # files that a cut left open are closed by the garbage collector, which says that it could not
    for line in ran.stdout.splitlines():
        if line not in ("OSError: [Errno 5] EIO", "passed") and not line.startswith("boot: "):
            figure(line)
    return ran.stdout
