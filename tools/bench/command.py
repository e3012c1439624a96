"""`redpoll bench NAME`: a thin table of measurements; each lives in its own module."""

import argparse
import importlib

# name: (module with add_arguments(parser) and run(args) -> exit status, one line for --help)
BENCHES = {
    "all": ("tools.bench.everything", "all of them in a short form, in less than ten minutes"),
    "agent": ("tools.bench.agent", "the whole agent: start, idle CPU, heap, bytes on the wire, a broker that restarts"),
    "growth": ("tools.bench.growth", "how cost grows with sensors, configuration keys, messages in the spool and messages sent"),
    "hub": ("tools.bench.hub", "the hub under the load of thousands of boards: messages/s until stored, latency, memory, CPU"),
    "mqtt": ("tools.bench.mqtt", "MQTT clients side by side: rate, memory, bytes on the wire"),
    "table": ("tools.bench.table", "what was measured, as Markdown; --write brings it and plots into docs/"),
    "update": ("tools.bench.update", "an update over the air: time, bytes fetched, heap"),
    "wear": ("tools.bench.wear", "how many years the flash of a board lasts"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand for each measurement, with its own options."""
    subparsers = parser.add_subparsers(metavar="NAME", required=True)
    for name, (module_name, summary) in BENCHES.items():
        module = importlib.import_module(module_name)
        subparser = subparsers.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(subparser)
        subparser.set_defaults(bench=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the measurement. Returns its exit status."""
    return int(args.bench(args))
