"""All measurements one after the other, each in a short form that is still worth reading: together under ten minutes on two cores."""

import argparse
import sys
import time

from tools.bench import command, results, tables
from tools.bench.program import ProgramError
from tools.hub.client import HubError
from tools.hub.process import ProcessError
from tools.vm import NoMicroPython

# those whose usual form takes longer
SHORT = {
    "agent": ("--seconds", "10"),
    "growth": ("--repeats", "3"),
    "hub": ("--devices", "100", "1000", "5000", "--hubs", "1", "--database", "sqlite", "--seconds", "5"),
    "update": ("--no-heap",),
    "wear": ("--days", "10"),
}
_NO_MEASUREMENTS = ("all", "table")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench all`."""
    names = [name for name in command.BENCHES if name not in _NO_MEASUREMENTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="some of them")


def run(args: argparse.Namespace) -> int:
    """Begin build/bench.json anew, measure, print how Redpoll compares. Returns 1 when a measurement failed or found something lost.

    One that this machine cannot make is told, and costs no status.
    """
    results.RESULTS.unlink(missing_ok=True)
    ended = {}
    began = time.monotonic()
    for name in args.only:
        started = time.monotonic()
        print(f"\nredpoll bench {' '.join((name, *SHORT.get(name, ())))}", flush=True)
        try:
            ended[name] = measure(name)
        except (ProcessError, ProgramError, HubError, NoMicroPython, OSError, RuntimeError) as error:
            print(f"redpoll bench {name}: {error}", file=sys.stderr)
            ended[name] = 1
        print(f"took {time.monotonic() - started:.0f} s", flush=True)
    print("\n" + "\n".join(tables.comparison(results.read())))
    print(f"\n{len(args.only)} measurements in {time.monotonic() - began:.0f} s; build/bench.json; `redpoll bench table` shows all of it")
    for name, status in ended.items():
        if status:
            print(f"redpoll bench {name}: {'failed' if status == 1 else 'cannot be measured here'}", file=sys.stderr)
    return 1 if 1 in ended.values() else 0


def measure(name: str) -> int:
    """One measurement in its short form. Returns its exit status."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([name, *SHORT.get(name, ())]))
