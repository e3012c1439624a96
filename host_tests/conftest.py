"""Every test of the repository: host_tests/device runs on two interpreters, see device_plugin."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["brokers", "databases", "device_plugin", "forked_hubs", "pytester"]

# Much of the suite is files that are synchronised after every write. In memory that costs nothing, and what it protects from, a power cut,
# is played by the tests and not by the disk. TMPDIR or --basetemp say otherwise.
_IN_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
if "TMPDIR" not in os.environ and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free >= _ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_IN_MEMORY)

# Where whoever runs the tests has a hub's data is no place for those of a test.
os.environ.pop("REDPOLL_DATABASE", None)

# A shell without job control starts what runs in its background with Ctrl-C ignored, and every process of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, in two of the workers: it mostly waits, and the others have what keeps the cores busy meanwhile."""
    long = [item for item in items if item.path.parent.name in ("system", "faults")]
    rest = [item for item in items if item.path.parent.name not in ("system", "faults")]
    # xdist's worksteal gives each worker so many of them, in their order, to begin with
    share = len(items) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first, second = (long[::2], long[1::2]) if share < len(items) else (long, [])
    between = max(0, share - len(first))
    items[:] = first + rest[:between] + second + rest[between:]


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """figure(text): what a test has counted or measured; it is printed at the end of the run."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, each line with its test: of all tests, or of those that failed alone, so that these are what the output ends with."""
    failing = terminalreporter.stats.keys() & {"failed", "error"}
    reports = terminalreporter.getreports("failed" if failing else "passed")
    told = [(report.nodeid, text) for report in reports for name, text in report.user_properties if name == "figure"]
    if told:
        terminalreporter.section("figures")
    for nodeid, text in sorted(told):
        terminalreporter.write_line(f"{nodeid.rpartition('/')[2]}: {text}")
