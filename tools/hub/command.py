"""`redpoll hub`: run a hub, or print what boards are given.

`redpoll hub license-key` prints the public key that boards verify this hub's licences with, `redpoll hub ca` the certificate of its CA,
whether the hub runs or not.
"""

import argparse
import asyncio
import logging
import sys
from dataclasses import replace
from pathlib import Path

from tools.hub.broker.address import BrokerError
from tools.hub.domain import retention
from tools.hub.server.folder import StartError, held, make_folder
from tools.hub.server.options import authority_of, broker_choice, certificates_of, check_values, settings_of, signer_of
from tools.hub.server.serving import Serving
from tools.hub.server.web import is_fit_for_the_log, listening


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll hub`."""
    parser.add_argument(
        "what", nargs="?", choices=("run", "ca", "license-key"), default="run", help="ca, license-key: print what boards are given, and end"
    )
    parser.add_argument("--port", type=int, default=8480, help="HTTP port; 0 takes a free one (default 8480)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for boards on the network (default 127.0.0.1)")
    parser.add_argument(
        "--broker", default="embedded", metavar="BROKER",
        help="embedded[:PORT], mosquitto[:PORT] (the hub starts it), mqtt(s)://host[:port] (default embedded; on 8883, without TLS 1883)",
    )  # fmt: skip
    parser.add_argument(
        "--broker-login", type=Path, metavar="FILE", help="that has USER:PASSWORD for another broker (default: REDPOLL_BROKER_LOGIN)"
    )
    parser.add_argument("--broker-ca", type=Path, metavar="FILE", help="CA of another broker (default: those that this machine trusts)")
    parser.add_argument("--no-tls", action="store_true", help="plain HTTP and MQTT, for clients that cannot be given the hub's CA")
    parser.add_argument(
        "--host-name", action="append", default=[], metavar="NAME", help="another name or address that boards reach this machine by"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="with ca and license-key: write it there")
    parser.add_argument("--data", type=Path, default=Path("build/hub"), help="where database, dumps and keys are kept (default build/hub)")
    parser.add_argument("--operator-key", help="key of the operator's calls (default: REDPOLL_OPERATOR_KEY, else one made and kept)")
    parser.add_argument("--lenient", action="store_true", help="take MQTT messages without user properties")
    parser.add_argument(
        "--offline-after", type=float, default=180.0, metavar="SECONDS", help="silence that makes a device offline (default 180)"
    )
    parser.add_argument(
        "--rate-limit", type=int, metavar="REQUESTS", help="of one device within 30 s over HTTP; more are answered 429 (default: no limit)"
    )
    parser.add_argument("--keepalive", type=float, default=15.0, metavar="SECONDS", help="between pings on a web socket (default 15)")
    parser.add_argument("--public-url", help="what boards are told to use, when that is not the address that they register at")
    parser.add_argument(
        "--kapua-fold", action="store_true", help="Kapua: show the notifications of an ended operation in its log only, as Kapua does"
    )
    parser.add_argument(
        "--astarte-realm", default="redpoll", metavar="NAME", help="what devices' Astarte topics begin with (default redpoll)"
    )
    parser.add_argument("--share", metavar="GROUP", help="take a share of the messages, when several hubs use one broker and database")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when standard input ends, so that no hub outlives its starter"
    )
    parser.add_argument(
        "--license-key", type=Path, metavar="FILE", help="RSA key that signs licences (default: one made and kept in the data directory)"
    )
    parser.add_argument(
        "--keep-days", type=float, default=retention.DAYS, metavar="DAYS",
        help=f"how long messages, events and what is finished are kept; 0: for ever (default {retention.DAYS:g})",
    )  # fmt: skip
    parser.add_argument(
        "--keep-messages",
        type=int,
        default=retention.MESSAGES,
        metavar="N",
        help=f"messages kept of each device (default {retention.MESSAGES})",
    )
    parser.add_argument("--database", help="SQLAlchemy URL (default: REDPOLL_DATABASE, else SQLite in the data directory)")


def run(args: argparse.Namespace) -> int:
    """Run the hub until SIGINT or SIGTERM, or print what was asked for. Returns 0, 1 or 2 (StartError)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in ("alembic", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(is_fit_for_the_log)
    try:
        if args.what != "run":
            if not args.data.exists():
                print(f"redpoll hub: {args.data} is new: only a hub with this --data has what is made there now", file=sys.stderr)
            make_folder(args.data)
            _hand_out(authority_of(args.data).pem().decode() if args.what == "ca" else signer_of(args).public_pem(), args.out)
            return 0
        choice = broker_choice(args)
        check_values(args)
        with held(args.data):
            settings = settings_of(args)
            certificates = None if args.no_tls else certificates_of(args)
            if certificates is not None:
                settings = replace(settings, ca=certificates.authority.pem())
            with listening(args.host, args.port) as server:
                asyncio.run(Serving(settings, choice, args.host, server, certificates).serve(args.until_stdin_closes))
    except (StartError, BrokerError) as error:
        print(f"redpoll hub: {error}", file=sys.stderr)
        return error.status if isinstance(error, StartError) else 2
    return 0


def _hand_out(text: str, path: Path | None) -> None:
    if path is None:
        print(text, end="")
        return
    try:
        path.write_text(text)
    except OSError as error:
        raise StartError(f"--out {path}: {error.strerror}") from None
