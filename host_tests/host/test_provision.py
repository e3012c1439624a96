"""`redpoll provision` on virtual boards: what is checked, what is kept, and where secrets go."""

import contextlib
import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import make_certificates

from tools import keys
from tools.board.process import Board
from tools.cli import main as redpoll
from tools.deploy import provision
from tools.deploy.command import session
from tools.deploy.errors import DeployError, Status
from tools.deploy.provision import Change, Settings
from tools.deploy.provision_command import PASSWORD
from tools.deploy.remote import RemoteBoard
from tools.device_code import firmware
from tools.singles import is_echo

SECRET = "correct horse battery"
ENTRY = "https://cloud.example/xyte"

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def board(flashed: Callable[..., Board]) -> Board:
    """One that has just been flashed."""
    return flashed("esp32")


def run(board: Board, *words: object) -> int:
    return redpoll(["provision", "--port", str(board.port), *map(str, words)])


def on_board(board: Board) -> dict[str, object]:
    board.kill()
    settings: dict[str, object] = json.loads(board.read_file("/settings.json"))
    return settings


def test_settings_are_read_back_without_the_secret_and_kept_where_nothing_else_is_said(
    board: Board, capfd: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    assert run(board, "--entry", "http://hub.example/xyte", "--wifi-ssid", "home", "--set", "keepalive=20", "--set", "name=Küche") == 0
    monkeypatch.delenv(PASSWORD)
    assert run(board, "--set", "keepalive=30", "--unset", "name", "--unset", "nane", "--set", 'details={"room": "5b"}') == 0
    assert run(board) == 0  # only shows
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err + "\n".join(board.lines)
    assert [line for line in shown.out.splitlines() if "--unset" in line] == ["warning: --unset nane: the board has no such setting"]
    last = shown.out.rpartition("that is on the board\n")[0].rpartition("that is on the board\n")[2]
    assert [line.split() for line in last.splitlines()] == [
        ["details", '{"room":', '"5b"}'],
        ["entry", '"http://hub.example/xyte"'],
        ["keepalive", "30"],
        ["wifi_password", "(set)"],
        ["wifi_ssid", '"home"'],
    ]
    assert on_board(board) == {
        "entry": "http://hub.example/xyte",
        "wifi_ssid": "home",
        "wifi_password": SECRET,
        "keepalive": 30,
        "details": {"room": "5b"},
    }


def test_what_a_chip_rounds_is_what_was_sent(board: Board, monkeypatch: pytest.MonkeyPatch, capfd: Shown) -> None:
    read = provision.read

    def rounded(remote: RemoteBoard) -> Settings | None:
        found = read(remote)
        return found and Settings(json.loads(json.dumps(found.values), parse_float=lambda text: float(f"{float(text):.7g}")), found.secrets)

    monkeypatch.setattr(provision, "read", rounded)  # the virtual board has floats of 64 bits
    details = {"at": [{"latitude": 47.376887, "longitude": 8.541694}], "height": 408}
    assert run(board, "--entry", "http://hub.example/xyte", "--set", f"details={json.dumps(details)}") == 0
    assert '"latitude": 47.37689' in capfd.readouterr().out
    assert on_board(board)["details"] == details


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({"x": 47.376887}, {"x": 47.3768}), ({"x": [1.5]}, {"x": []}), ({"x": 1}, {"x": 2}), ({"x": 1}, {}), ({"x": {}}, {"x": []}),
        ({"x": 1700000000.5}, {"x": 1700000900.5}), ({"x": 1}, {"x": True}), ({"x": 1}, {"x": 1.0}), ({"x": 1e300}, {"x": 1.00000001e300}),
    ],
)  # fmt: skip
def test_what_came_otherwise_is_not(sent: dict[str, object], found: dict[str, object]) -> None:
    assert not is_echo(found, sent)


@pytest.mark.parametrize(
    "said",
    [
        f"wifi_password={SECRET}",
        f"wifi.password={SECRET}",
        f"access_key={SECRET}",
        "wifi=" + json.dumps({"password": SECRET}),
        "networks=" + json.dumps([{"ssid": "home", "login": {"accessKey": SECRET}}]),
        f"update_key=-----BEGIN RSA PRIVATE KEY----- {SECRET}",
        "license_key=" + json.dumps({"kty": "RSA", "n": "", "e": "AQAB", "d": SECRET}),
    ],
)
def test_a_secret_is_not_taken_from_the_command_line(said: str, capfd: Shown) -> None:
    assert redpoll(["provision", "--port", "/dev/nothing", "--set", said]) == Status.REFUSED
    shown = capfd.readouterr()
    assert "command line" in shown.err and SECRET not in shown.err + shown.out


def test_what_the_firmware_knows_is_no_secret_but_for_the_password() -> None:
    with firmware() as load:
        assert [key for key in load("settings_rules")._KNOWN if provision.is_secret(key)] == ["wifi_password"]
    assert not provision.is_secret("details", {"room": "5b", "floors": [1, None, {"door": "left"}]})
    assert not provision.is_secret("license_key", {"kty": "RSA", "n": "", "e": "AQAB"})


def test_a_secret_within_an_object_stays_on_the_board_with_the_object(board: Board, tmp_path: Path, capfd: Shown) -> None:
    details = {"room": "5b", "doors": [{"api_token": SECRET}]}
    (tmp_path / "some.json").write_text(json.dumps({"entry": ENTRY, "access_key": SECRET, "details": details}))
    assert run(board, "--settings", tmp_path / "some.json") == 0
    assert run(board, "--set", "name=hall") == 0
    with session(str(board.port), "mpremote") as connection:
        remote = RemoteBoard(connection)
        remote.begin()
        found = provision.read(remote)
        assert found is not None and found.values == {"entry": ENTRY, "name": "hall"} and set(found.secrets) == {"access_key", "details"}
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err
    assert re.findall(r"(\S+) +\(set\)", shown.out) == ["access_key", "details"] * 2
    assert on_board(board) == {"entry": ENTRY, "access_key": SECRET, "details": details, "name": "hall"}


def test_the_password_comes_from_a_file_the_environment_or_a_prompt(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Shown
) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)
    words = "--entry", "http://hub.example/xyte", "--wifi-ssid", "home"
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert run(board, *words) == Status.REFUSED
    assert PASSWORD in capfd.readouterr().err
    (tmp_path / "password").write_text("from a file\r\n")
    assert run(board, *words, "--wifi-password-file", tmp_path / "password") == 0
    board.kill()
    assert json.loads(board.read_file("/settings.json"))["wifi_password"] == "from a file"
    since = board.line_count
    board.start()
    board.wait_for("help", since=since)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed in" if "'home'" in prompt else "")
    assert run(board, *words) == 0
    monkeypatch.setenv(PASSWORD, "of another network")
    assert run(board) == 0  # only shows
    assert on_board(board)["wifi_password"] == "typed in"


def test_a_password_file_as_windows_saves_it_gives_the_password_or_is_refused(board: Board, tmp_path: Path, capfd: Shown) -> None:
    words = "--entry", ENTRY, "--wifi-password-file", tmp_path / "password"
    (tmp_path / "password").write_bytes(f"{SECRET}\r\n".encode("utf-16"))
    assert run(board, *words) == Status.REFUSED
    told = capfd.readouterr().err
    assert "not UTF-8" in told and SECRET not in told
    (tmp_path / "password").write_bytes(f"{SECRET}\r\n".encode("utf-8-sig"))
    assert run(board, *words) == 0
    assert on_board(board)["wifi_password"] == SECRET


@pytest.mark.parametrize(("content", "said"), [('{"name": "\\ud83d"}', "'name': what it is given"), ("[" * 100_000, "not JSON")])
def test_settings_that_no_board_could_read_are_told_before_one_is_asked(content: str, said: str, tmp_path: Path, capfd: Shown) -> None:
    (tmp_path / "some.json").write_text(content)
    assert redpoll(["provision", "--port", "none", "--settings", str(tmp_path / "some.json")]) == Status.REFUSED
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--entry", "hub.example"], '"entry" must be an https:// or http:// URL'),
        (["--entry", ENTRY, "--set", "keepalive=2"], '"keepalive" must be a whole number from 5 to 3600, not 2'),
        (["--entry", ENTRY, "--set", "transport=carrier pigeon"], '"transport" must be'),
    ],
)
def test_what_the_firmware_would_not_take_is_refused_and_the_board_keeps_what_it_had(
    words: list[str], said: str, board: Board, capfd: Shown
) -> None:
    assert run(board, "--entry", "http://before.example") == 0
    assert run(board, *words) == Status.REFUSED
    assert said in capfd.readouterr().err
    assert on_board(board) == {"entry": "http://before.example"}


def test_settings_that_are_damaged_are_replaced_only_when_told_so(board: Board, capfd: Shown) -> None:
    board.kill()
    board.write_file("/settings.json", b'{"entry": "htt')
    since = board.line_count
    board.start()
    board.wait_for("help", since=since)
    assert run(board, "--entry", "http://new.example") == Status.REFUSED
    assert "--fresh replaces it" in capfd.readouterr().err
    assert run(board, "--entry", "http://new.example", "--fresh") == 0
    assert on_board(board) == {"entry": "http://new.example"}


def test_keys_become_files_on_the_board(board: Board, tmp_path: Path, capfd: Shown) -> None:
    keys.make_private(tmp_path / "update.key", 2048)
    public = tmp_path / "update.pub"
    public.write_text(keys.public_pem(keys.load_private(tmp_path / "update.key")))
    assert run(board, "--entry", "http://hub.example", "--update-key", public, "--license-key", public) == 0
    assert run(board, "--update-key", tmp_path / "update.key") == Status.REFUSED  # the private half
    assert run(board, "--ca", public) == Status.REFUSED
    assert "'ca' cannot be used" in capfd.readouterr().err
    authority = tmp_path / "ca.key"  # both halves, as the hub keeps them
    authority.write_bytes((tmp_path / "update.key").read_bytes() + b"-----BEGIN CERTIFICATE-----")
    authority.chmod(0o600)
    assert run(board, "--ca", authority) == Status.REFUSED
    assert "the file for 'ca' holds a private key" in capfd.readouterr().err
    settings = on_board(board)
    assert (settings["update_key"], settings["license_key"]) == ("/update.pub", "/license.pub")
    assert board.read_file("/update.pub") == public.read_bytes()


def test_a_file_of_settings_brings_the_files_beside_it_that_it_names(board: Board, tmp_path: Path, capfd: Shown) -> None:
    make_certificates(tmp_path)
    settings = tmp_path / "some.json"
    settings.write_text(json.dumps({"entry": ENTRY, "ca": "gone.pem"}))
    assert run(board, "--settings", settings) == Status.REFUSED
    assert '"ca": there is no file gone.pem on the board, nor beside the settings: --ca brings it' in capfd.readouterr().err
    assert run(board, "--settings", settings, "--unset", "ca") == 0
    for outside in ("../ca.pem", str(tmp_path / "ca.pem")):
        (tmp_path / "deeper").mkdir(exist_ok=True)
        (tmp_path / "deeper" / "some.json").write_text(json.dumps({"entry": ENTRY, "ca": outside}))
        assert run(board, "--settings", tmp_path / "deeper" / "some.json") == Status.REFUSED
    capfd.readouterr()
    settings.write_text(json.dumps({"entry": ENTRY, "ca": "/ca.pem"}))
    assert run(board, "--settings", settings, "--fresh") == 0
    assert run(board, "--settings", settings, "--set", "keepalive=30") == 0
    shown = capfd.readouterr()
    assert "no file" not in shown.out + shown.err
    assert on_board(board) == {"entry": ENTRY, "ca": "/ca.pem", "keepalive": 30}
    assert board.read_file("/ca.pem") == (tmp_path / "ca.pem").read_bytes()


def test_a_file_that_the_board_has_lost_is_told_by_its_name_there() -> None:
    (warning,) = provision.check({"entry": ENTRY, "ca": "ca.pem", "sn": "1"}, {})
    assert warning == "settings.json: \"ca\": there is no file '/ca.pem'"


def test_the_ca_is_checked_as_the_firmware_reads_it(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    for name in ("ca.pem", "ca.der"):
        assert provision.check({"entry": ENTRY, "ca": "/ca.pem", "sn": "1"}, {"ca": (tmp_path / name).read_bytes()}) == []
    with pytest.raises(DeployError, match="cannot be used"):
        provision.check({"entry": ENTRY, "ca": "/ca.pem", "sn": "1"}, {"ca": b"<html>not found</html>"})
    damaged = (tmp_path / "ca.der").read_bytes()[:-10]
    for content in (damaged, ssl.DER_cert_to_PEM_cert(damaged).encode()):
        with pytest.raises(DeployError, match=r"'ca' cannot be used: it holds no certificate that can be read \([^()]+\)$"):
            provision.check({"entry": ENTRY, "ca": "/ca.pem", "sn": "1"}, {"ca": content})
    warnings = provision.check({"entry": ENTRY, "sn": "1"}, {})
    assert len(warnings) == 1 and "cannot be verified" in warnings[0]


def test_unknown_settings_are_told(tmp_path: Path) -> None:
    assert any("colour" in warning for warning in provision.check({"entry": "http://a.example", "sn": "1", "colour": 1}, {}))


def test_secrets_stay_where_they_are_until_another_comes() -> None:
    before = Settings({"entry": "a", "keepalive": 9}, ("wifi_password",))
    assert provision.merged(before, Change({"entry": "b"})) == ({"entry": "b", "keepalive": 9}, ("wifi_password",))
    assert provision.merged(before, Change({"wifi_password": "new"})) == ({"entry": "a", "keepalive": 9, "wifi_password": "new"}, ())
    assert provision.merged(Settings({}, ("update_key",)), Change(files={"update_key": b""})) == ({"update_key": "/update.pub"}, ())
    assert provision.merged(before, Change(gone=("wifi_password", "keepalive"))) == ({"entry": "a"}, ())
    assert provision.merged(before, Change({"entry": "c"}, fresh=True)) == ({"entry": "c"}, ())


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
def test_a_power_cut_leaves_the_old_settings_or_the_new_ones(at: int, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = {"entry": "http://old.example"}, {"entry": "http://new.example", "name": "x" * 200}
    with session(str(board.port), "mpremote") as connection:
        remote = RemoteBoard(connection)
        remote.begin()
        provision.write(remote, {**old, "wifi_password": SECRET}, (), {})
        board.cut_power_at_write(at)
        with monkeypatch.context() as patch, contextlib.suppress(DeployError):
            patch.setattr("tools.deploy.connection.RUN_SECONDS", 3.0)
            provision.write(remote, new, ("wifi_password",), {})
    found = on_board(board)
    assert found.pop("wifi_password") == SECRET
    assert found in (old, new)
