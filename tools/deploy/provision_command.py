"""`redpoll provision`: Wi-Fi, cloud and keys into settings.json on the board."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tools.board.firmware import SETTING_FILES, file_beside
from tools.deploy import provision
from tools.deploy.command import add_port, session
from tools.deploy.errors import DeployError, Status
from tools.deploy.provision import Change, Settings
from tools.deploy.remote import RemoteBoard

PASSWORD = "REDPOLL_WIFI_PASSWORD"
_WIFI = ("wifi_ssid", "wifi_password")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll provision`."""
    parser.epilog = (
        f"The Wi-Fi password comes from --wifi-password-file, from the environment ({PASSWORD}) or from a prompt, never from the command "
        "line. What is not named stays as it is on the board. Without any change the board's settings are shown."
    )
    add_port(parser)
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="a JSON file with any of them, secrets included; the files beside it that it names, such as a CA, go too",
    )
    parser.add_argument("--entry", metavar="URL", help="where the device registers, https:// or http://")
    parser.add_argument("--wifi-ssid", metavar="NAME", help="the network; its password is asked for")
    parser.add_argument("--wifi-password-file", type=Path, metavar="FILE", help="a file with the password in its first line")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificate of the CA that signed the cloud's, PEM or DER")
    parser.add_argument("--license-key", type=Path, metavar="FILE", help="public key that licences are verified with")
    parser.add_argument("--update-key", type=Path, metavar="FILE", help="public key of `redpoll bundle keygen`, for updates over the air")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting; a VALUE that is JSON is taken so"
    )
    parser.add_argument("--unset", action="append", default=[], metavar="KEY", help="take a setting away")
    parser.add_argument("--fresh", action="store_true", help="keep nothing of what is there")


def run(args: argparse.Namespace) -> int:
    """0; else tools.deploy.errors.Status says what went wrong, and the text what to do."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        change = _change(args)
        with session(args.port, args.via) as connection:
            board = RemoteBoard(connection)
            board.begin(fresh=False)
            _provision(board, change, args, console)
            board.restart()
        return Status.OK
    except DeployError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(str(error), style="red"))
        return error.status


def _provision(board: RemoteBoard, change: Change, args: argparse.Namespace, console: Console) -> None:
    before = None if args.fresh else provision.read(board)
    if not (change.values or change.files or change.gone or change.fresh):
        if before is None:
            raise DeployError("the board has no settings yet: `redpoll provision --help` tells how to give it some")
        _show(console, before)
        return
    known = set() if before is None else {*before.values, *before.secrets}
    for key in sorted(set(change.gone) - known):
        console.print(Text(f"warning: --unset {key}: the board has no such setting", style="yellow"))
    values, kept = provision.merged(before, change)
    there = tuple(key for key in SETTING_FILES if key not in change.files and _names_a_file(values.get(key)) and board.exists(values[key]))
    for key in SETTING_FILES:
        if key in change.values and key not in change.files and key not in there and _names_a_file(values.get(key)):
            raise DeployError(
                f'"{key}": there is no file {values[key]} on the board, nor beside the settings: --{key.replace("_", "-")} brings it'
            )
    for warning in board.while_fed(lambda: provision.check(values, change.files, there)):
        console.print(Text(f"warning: {warning}", style="yellow"))
    if board.about().platform in ("esp32", "rp2") and not values.get("wifi_ssid"):
        console.print(Text('warning: "wifi_ssid" is missing: this board will find no network', style="yellow"))
    provision.write(board, values, kept, change.files)
    after = provision.read(board)
    assert after is not None
    _show(console, after)


def _show(console: Console, settings: Settings) -> None:
    told = {key: json.dumps(value, ensure_ascii=False) for key, value in settings.values.items()} | dict.fromkeys(settings.secrets, "(set)")
    width = max(map(len, told), default=0)
    for key in sorted(told):
        console.print(Text(f"  {key:{width}}  {told[key]}"))
    console.print("that is on the board", style="dim")


def _names_a_file(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "-----BEGIN" not in value


# ---- what was asked for


def _change(args: argparse.Namespace) -> Change:
    values = _from_file(args.settings) if args.settings else {}
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise DeployError(f"--set {key}: it is KEY=VALUE")
        values[key] = _value(value)
        if provision.is_secret(key, values[key]):
            raise DeployError(f"--set {key}: a secret does not belong on a command line, which others can read: --settings FILE takes it")
    for key in ("entry", "wifi_ssid"):
        if getattr(args, key) is not None:
            values[key] = getattr(args, key)
    values.update(_password(args, values))
    for key, value in values.items():
        try:
            json.dumps({key: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DeployError(f"{key!r}: what it is given cannot be written as UTF-8") from None
    files = {key: _content(path) for key in SETTING_FILES if (path := getattr(args, key) or _beside(args, values.get(key)))}
    return Change(values, tuple(args.unset), files, args.fresh)


def _beside(args: argparse.Namespace, name: object) -> Path | None:
    return None if args.settings is None else file_beside(args.settings, name)


def _password(args: argparse.Namespace, values: Mapping[str, Any]) -> dict[str, str]:
    ssid, key = _WIFI
    if args.wifi_password_file is not None:
        password = _text(args.wifi_password_file).split("\n")[0].rstrip("\r")
    elif key in values:
        password = values[key]
    elif not values.get(ssid):
        return {}
    elif PASSWORD in os.environ:
        password = os.environ[PASSWORD]
    elif sys.stdin.isatty():
        password = getpass.getpass(f"password of the Wi-Fi {values[ssid]!r} (empty when it is open): ")
    else:
        raise DeployError(f"the password of the Wi-Fi {values[ssid]!r} is missing: --wifi-password-file, or {PASSWORD} in the environment")
    if isinstance(password, str) and password and not 8 <= len(password.encode()) <= 64:
        raise DeployError("the Wi-Fi password must have 8 to 63 characters (WPA2), or be empty for an open network")
    return {key: password}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise DeployError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise DeployError(f"{path}: must be a JSON object")
    return values


def _text(path: Path) -> str:
    try:
        return _content(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DeployError(f"{path}: it is not UTF-8; save it as that") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeployError(f"{path}: {error.strerror}") from None
