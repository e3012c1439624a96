"""`redpoll wire`: what goes over the wire to each cloud, printed as in docs/wire.md."""

import argparse

from tools.wire.capture import CLOUDS, capture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll wire`."""
    parser.add_argument("--only", choices=CLOUDS, help="one of them")


def run(args: argparse.Namespace) -> int:
    """Print one block for each cloud."""
    messages = capture()
    for cloud in [args.only] if args.only else CLOUDS:
        print(f"--- {cloud}")
        for message in messages:
            if message.cloud == cloud:
                print("\n".join(message.lines()))
    return 0
