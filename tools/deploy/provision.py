"""Settings onto a board: checked with the firmware's own code, secrets kept where they are, replaced in one step."""

import functools
import inspect
import json
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.board.firmware import SETTING_FILES
from tools.deploy.errors import DeployError
from tools.deploy.remote import RemoteBoard
from tools.device_code import firmware
from tools.singles import is_echo

SETTINGS = "/settings.json"
_SECRET_WORDS = ("password", "passwd", "passphrase", "psk", "secret", "private", "token", "credential", "accesskey", "apikey", "sharedkey")
_CA_BYTES = 16384


@dataclass(frozen=True)
class Change:
    """What is to be another: values (secrets too), keys that go, and the content of the files that SETTING_FILES names."""

    values: Mapping[str, Any] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    fresh: bool = False  # nothing of what is there stays


@dataclass(frozen=True)
class Settings:
    """settings.json of a board, without the secrets: of these the names only."""

    values: Mapping[str, Any]
    secrets: tuple[str, ...]


def is_secret(key: str, value: Any = None) -> bool:
    """Whether the value of this setting, or anything within it, is nobody's business."""
    return _tells_a_secret(key, *_names_in(value))


def _tells_a_secret(*names: str) -> bool:
    plain = ["".join(filter(str.isalnum, name.lower())) for name in names]
    return not _known_secrets().isdisjoint(names) or any(word in name for name in plain for word in _SECRET_WORDS)


# runs on the board too, which tells no more of what it has than these names
def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        if "kty" in value and "d" in value:
            yield "private"  # a JWK with its private half
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _names_in(one)
    elif isinstance(value, str) and "PRIVATE KEY-----" in value:
        yield "private"


@functools.cache
def _known_secrets() -> frozenset[str]:
    with firmware() as load:
        return frozenset(load("settings_rules").SECRETS)


def read(board: RemoteBoard) -> Settings | None:
    """What the board has; its secrets stay there. None when there is no settings.json; DeployError when it is none."""
    if not board.exists(SETTINGS):
        return None
    load = f"import json\nwith open({SETTINGS!r})as f:_j=json.load(f)\n{inspect.getsource(_names_in)}"
    try:
        board.connection.run(load)
        names = board.connection.ask("{k:list(_names_in(_j[k]))for k in _j}")
    except DeployError as error:
        raise DeployError(f"{SETTINGS} on the board is no JSON object ({error}); --fresh replaces it") from None
    secrets = tuple(name for name, within in names.items() if _tells_a_secret(name, *within))
    # key by key: no piece of memory for all of it
    values = {name: json.loads(board.connection.ask(f"json.dumps(_j[{name!r}])")) for name in names if name not in secrets}
    return Settings(values, secrets)


def merged(before: Settings | None, change: Change) -> tuple[dict[str, Any], tuple[str, ...]]:
    """-> (all values that are not kept secrets, names of the secrets that the board keeps)."""
    there = Settings({}, ()) if before is None or change.fresh else before
    values = {**there.values, **change.values, **{key: SETTING_FILES[key] for key in change.files}}
    kept = tuple(key for key in there.secrets if key not in values and key not in change.gone)
    for key in change.gone:
        values.pop(key, None)
    return values, kept


def check(values: Mapping[str, Any], files: Mapping[str, bytes], on_board: tuple[str, ...] = ()) -> list[str]:
    """The firmware's own opinion: warnings; of a secret that is kept it has none. `on_board` are the settings whose file the board has.

    Raises DeployError with all problems.
    """
    with tempfile.TemporaryDirectory() as name, firmware() as load:
        folder = Path(name)
        tried = dict(values)
        for key in SETTING_FILES:
            local = folder / key
            if key in files:
                if b"PRIVATE KEY-----" in files[key]:
                    raise DeployError(
                        f"the file for {key!r} holds a private key, which has no place on a board: give the public part alone"
                    )
                local.write_bytes(files[key])
                _check_file(load, key, local)
            if key in files or key in on_board:
                local.touch()
                tried[key] = str(local)
        path = folder / "settings.json"
        path.write_text(json.dumps(tried))
        try:
            load("settings").Settings(str(path))
        except load("settings").SettingsError as error:
            raise DeployError(str(error).replace(str(path), "settings.json")) from None
        marked = [line.partition("] ")[2] for line in load("log").lines()]
    # a file that is missing is missing on the board, whose root that folder was
    told = [line.removeprefix("warning: ") for line in marked if line.startswith("warning: ")]
    warnings = [line.replace(str(path), "settings.json").replace(str(folder), "") for line in told]
    if len(files.get("ca", b"")) > _CA_BYTES:
        warnings.append(f"the CA file has {len(files['ca']):,} bytes: a board needs the one certificate that signed its server's")
    return warnings


def write(board: RemoteBoard, values: Mapping[str, Any], kept: tuple[str, ...], files: Mapping[str, bytes]) -> None:
    """Put files and settings there; a power cut leaves the old settings or the new ones. Raises DeployError."""
    for key, content in files.items():
        board.replace(SETTING_FILES[key], content)
    new = f"{SETTINGS}.new"
    code = (
        f"import json\nwith open({new!r})as f:_n=json.load(f)\n"
        f"if {kept!r}:\n with open({SETTINGS!r})as f:_j=json.load(f)\n for k in {kept!r}:_n[k]=_j[k]\n"
        f" with open({new!r},'w')as f:json.dump(_n,f)\n"
        f"os.rename({new!r},{SETTINGS!r})\n_n=_j=None"
    )
    with board.withdrawn_when_full([new]):
        board.write(new, json.dumps(values, ensure_ascii=False).encode())
        board.on_flash(code, SETTINGS)
    after = read(board)
    wanted = tuple(key for key, value in values.items() if is_secret(key, value))
    if (
        after is None
        or set(after.secrets) != {*kept, *wanted}
        or not is_echo(after.values, {k: v for k, v in values.items() if k not in wanted})
    ):
        raise DeployError(f"{SETTINGS} on the board is not what was sent: do it again")


def _check_file(load: Any, key: str, path: Path) -> None:
    try:
        if key == "ca":
            load("net.tls").context(str(path), None, None)
        else:
            load("rsa").load(path.read_bytes())
    except ssl.SSLError as error:
        reason = re.sub(r" *\(_ssl\.c:\d+\)", "", str(error))
        raise DeployError(f"the file for {key!r} cannot be used: it holds no certificate that can be read ({reason})") from None
    except (ValueError, TypeError) as error:
        raise DeployError(f"the file for {key!r} cannot be used: {error}") from None
