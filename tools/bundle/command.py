"""`redpoll bundle`: make the key that signs bundles, build one from a folder, show what is in it, verify it."""

import argparse
import sys
from pathlib import Path

from tools import keys
from tools.board.profile import Profile, ProfileError
from tools.bundle import archive, contents, plan
from tools.bundle.archive import Bundle, BundleError, Entry
from tools.bundle.build import MICROPYTHON, build
from tools.failures import nobody_reads, told
from tools.mpy import CompileError
from tools.paths import FIRMWARE

_REFUSED = 1
_UNUSABLE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bundle`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=summary)

    action = add("keygen", "make the private key that signs bundles, and print its public half")
    action.add_argument("key", type=Path, metavar="FILE", help="becomes the private key; FILE.pub becomes the public one")
    action.add_argument("--bits", type=int, choices=keys.BITS, default=keys.BITS[0], help=f"of the modulus (default {keys.BITS[0]})")
    action.set_defaults(work=_keygen)

    action = add("build", "build a signed bundle from a product's folder")
    made_of = action.add_mutually_exclusive_group()
    made_of.add_argument("folder", type=Path, nargs="?", default=FIRMWARE, help="with main.py and what it imports (default: firmware)")
    made_of.add_argument("--image", type=Path, metavar="FILE", help="instead of a folder: an ESP32's firmware, the .app-bin of its build")
    action.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key of `redpoll bundle keygen`")
    action.add_argument("--version", required=True, help="of the product, such as 1.2.0")
    action.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle")
    action.add_argument("--name", default="redpoll", help="of the product (default: redpoll)")
    _add_board(action)
    action.add_argument(
        "--for", dest="boards", action="append", metavar="BOARD", help="only these boards may take it (repeatable; default: --board)"
    )
    action.add_argument("--any-board", action="store_true", help="every board may take it")
    action.add_argument("--micropython", default=MICROPYTHON, metavar="VERSION", help=f"the lowest that runs it (default {MICROPYTHON})")
    action.add_argument(
        "--window", type=int, default=archive.WINDOW, help=f"log2 of the memory that unpacking takes, 9 to 15 (default {archive.WINDOW})"
    )
    action.add_argument("--sources", action="store_true", help="leave .py files as they are")
    action.add_argument(
        "--frozen-agent", action="store_true", help="leave out what a firmware made with boards/<name>/manifest.py has, as with deploy"
    )
    action.set_defaults(work=_build)

    action = add("show", "what is in a bundle, and what a board would fetch of it")
    action.add_argument("bundle", type=Path, metavar="FILE", help="what build has made")
    action.add_argument(
        "--from", dest="running", type=Path, metavar="BUNDLE|FOLDER", help="what the board runs: another bundle or a product's folder"
    )
    _add_board(action)
    action.add_argument("--sources", action="store_true", help="--from is a folder whose .py files are on the board as they are")
    action.set_defaults(work=_show)

    action = add("verify", "check a bundle's structure, signature and every file; exit status 1 when it is not sound")
    action.add_argument("bundle", type=Path, metavar="FILE", help="what build has made")
    action.add_argument("--key", type=Path, required=True, metavar="FILE", help="the public key")
    action.set_defaults(work=_verify)


def run(args: argparse.Namespace) -> int:
    """Carry the action out: 0, 1 for a bundle that is not to be trusted, 2 for what cannot be used or written."""
    try:
        return int(args.work(args))
    except BundleError as error:
        print(error, file=sys.stderr)
        return _REFUSED
    except BrokenPipeError:
        nobody_reads()
        return 0
    except (OSError, ValueError, ProfileError, CompileError) as error:
        print(told(error), file=sys.stderr)
        return _UNUSABLE


def _add_board(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", default="unix", metavar="NAME", help="whose modules are taken: a folder of boards/ (default: unix)")


def _keygen(args: argparse.Namespace) -> int:
    public = args.key.with_name(args.key.name + ".pub")
    if public.exists():
        raise FileExistsError(f"{public} exists; nothing was written")
    try:
        keys.make_private(args.key, args.bits)
    except FileExistsError:
        raise FileExistsError(f"{args.key} exists; it is not overwritten: boards would no longer take what it has signed") from None
    pem = keys.public_pem(keys.load_private(args.key))
    public.write_text(pem)
    print(pem, end="")
    print(f"private key in {args.key}: keep it, and to yourself: who has it decides what boards run", file=sys.stderr)
    print(f'public key in {public}: a board\'s setting "update_key"', file=sys.stderr)
    return 0


def _build(args: argparse.Namespace) -> int:
    data = build(
        args.folder, args.key, args.version, name=args.name, board=args.board, boards=[] if args.any_board else args.boards,
        micropython=args.micropython, window=args.window, sources=args.sources, frozen=args.frozen_agent,
        image=args.image,
    )  # fmt: skip
    args.out.write_bytes(data)
    manifest = archive.read(data).manifest
    print(f"{args.out}: {manifest.name} {manifest.version}, {len(manifest.files)} files, {manifest.size:,} bytes in {len(data):,}")
    return 0


def _show(args: argparse.Namespace) -> int:
    bundle = _read(args.bundle)
    manifest = bundle.manifest
    print(f"{manifest.name} {manifest.version}")
    print(f"  boards       {', '.join(manifest.boards) or 'any'}")
    print(f"  MicroPython  {manifest.micropython} or newer, " + (f"bytecode {manifest.mpy}" if manifest.mpy else "sources only"))
    print(f"  unpacking    takes {1 << manifest.window:,} bytes of memory")
    print(f"  signature    RSA-{len(bundle.signature) * 8}; `redpoll bundle verify` checks it")
    print(f"  files        {len(manifest.files)}, {manifest.size:,} bytes, packed {sum(entry.packed for entry in manifest.files):,}")
    if manifest.is_image:
        print("  installs     an ESP32's firmware into the application partition that does not run")
    if args.running is None:
        for entry in manifest.files:
            print(_row(entry))
        return 0
    changes = plan.plan(manifest, _running(args))
    fetched = {entry.name for entry in changes.fetched}
    for entry in manifest.files:
        print(_row(entry) + ("  (fetched)" if entry.name in fetched else ""))
    for name in changes.gone:
        print(f"  {'gone':>8} {'':8}  {'':12}  {name}")
    count = f"{len(changes.fetched)} of {len(manifest.files)} files, {changes.fetched_bytes:,} bytes"
    print(f"a board that runs {args.running} fetches {count}, and copies {len(changes.copied)} of its own")
    return 0


def _row(entry: Entry) -> str:
    return f"  {entry.size:8,d} {entry.packed:8,d}  {entry.sha256[:12]}  {entry.name}"


def _running(args: argparse.Namespace) -> dict[str, str]:
    if args.running.is_dir():
        return plan.of_contents(contents.collect(args.running, Profile.load(args.board), sources=args.sources))
    return plan.of_manifest(_read(args.running).manifest)


def _verify(args: argparse.Namespace) -> int:
    bundle = _read(args.bundle)
    archive.verify(bundle, keys.load_public(args.key))
    manifest = bundle.manifest
    print(f"{args.bundle}: {manifest.name} {manifest.version}, signed with {args.key}, its {len(manifest.files)} files are sound")
    return 0


def _read(path: Path) -> Bundle:
    try:
        return archive.read(path.read_bytes())
    except BundleError as error:
        raise BundleError(f"{path} is no sound bundle: {error}") from None
