"""The `redpoll` command: a thin table of subcommands; each lives in its own module and is imported when it is called."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from tools.failures import nobody_reads

# name: (module with add_arguments(parser) and run(args) -> exit status, one line for --help)
COMMANDS = {
    "run": ("tools.run", "a hub, one board and a live view of both"),
    "watch": ("tools.watch", "what happens in a hub, as it happens"),
    "wire": ("tools.wire.command", "what goes over the wire to each cloud, captured from two boards"),
    "hub": ("tools.hub.command", "the stand-in cloud"),
    "bench": ("tools.bench.command", "measurements, such as how long a board's flash lasts"),
    "board": ("tools.board.command", "one virtual board on the real MicroPython VM"),
    "boards": ("tools.boards", "the boards there is support for: chip, flash, memory, what to buy"),
    "flash": ("tools.flash.command", "MicroPython onto a board, checked to be for its chip"),
    "provision": ("tools.deploy.provision_command", "Wi-Fi, cloud and keys into a board's settings"),
    "deploy": ("tools.deploy.command", "the product onto a board, into the slot that does not run"),
    "bundle": ("tools.bundle.command", "signed bundles for updates over the air: keygen, build, show, verify"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand named in argv. Returns its exit status; 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parser_of(words).parse_args(words)
        status = int(args.run(args))
    except KeyboardInterrupt:
        return 130
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads()
    return status


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line that begins with these words: of the subcommands it knows the options of the one that is named."""
    parser = argparse.ArgumentParser(prog="redpoll", description="MicroPython device firmware and the bench it is built on.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if words[:1] == [name]:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


class _Version(argparse.Action):
    # looking it up takes longer than all else here, and needs an installed package: only for who asks
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib import metadata

        try:
            print(f"redpoll {metadata.version('redpoll')}")
        except metadata.PackageNotFoundError:
            parser.exit(1, "redpoll: it is not installed, so nobody knows its version; make setup installs it\n")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
