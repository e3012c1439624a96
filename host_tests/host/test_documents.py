"""README, docs/ and the other texts: what they name is there, and what they say of formats and settings is so."""

import argparse
import ast
import importlib.util
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.cli import COMMANDS, parser_of
from tools.device_code import firmware
from tools.hub.docs import CALLS
from tools.paths import BOARDS, FIRMWARE, ROOT

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md"), *BOARDS.glob("*.md"), *BOARDS.glob("*/*.md")]
)
TOP = ("firmware", "host_tests", "tools", "boards", "docs", "examples")
MAKEFILE = (ROOT / "Makefile").read_text()
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)")
_PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join(TOP)})/[\w./*<>-]*")
# what stands for something in an example
_PLACEHOLDER = re.compile(r"[A-Z]{3,}|[<>*…]|\.\.\.")
EVERY = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(what stands behind its fence, its text) of each block of code."""
    for match in _BLOCK.finditer(text):
        yield match[1].strip(), match[2]


def commands(text: str) -> Iterator[tuple[list[str], bool]]:
    """Each command line as words, and whether it is whole: those in running text may be the beginning of one only."""
    for language, block in blocks(text):
        if language:
            continue
        for line in block.splitlines():
            for part in re.split(r"\s&&\s|;\s", line):
                words = split(part)
                if words:
                    yield words, True
    for match in _SPAN.finditer(_BLOCK.sub("", text)):
        words = split(match[1])
        if words:
            yield words, False


def split(line: str) -> list[str]:
    """The words of a command line; none where it is no such line."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words if len(words) > 1 else []


def redpoll_words(words: list[str]) -> list[str] | None:
    return words[1:] if words[0] in ("redpoll", ".venv/bin/redpoll") else None


def actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def unknown(words: list[str]) -> str | None:
    """Why this beginning of a redpoll command line is none; None when it is one."""
    if words[0] not in COMMANDS:
        return f"there is no command {words[0]!r}"
    parser, rest = parser_of(words), list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            option, equals, _ = word.partition("=")
            action = parser._option_string_actions.get(option)
            if action is None:
                return f"{parser.prog} has no option {option}"
            if action.nargs != 0 and not equals and rest:
                rest.pop(0)
        elif word in actions_of(parser):
            parser = actions_of(parser)[word]
        elif actions_of(parser) and not word.isupper():
            return f"{parser.prog} has no {word!r}"
    return None


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str | None:
    """Why the command does not take this whole line; None when it does."""
    try:
        parser_of(words).parse_args(words)
    except SystemExit as error:
        if error.code:
            return capsys.readouterr().err.strip().rpartition("\n")[2]
    return None


@EVERY
def test_every_redpoll_command_line_is_one_that_redpoll_takes(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for words, whole in commands(document.read_text()):
        ours = redpoll_words(words)
        if ours:
            reason = unknown([word.strip("[]") for word in ours]) or (refused(ours, capsys) if whole else None)
            wrong += [f"{shlex.join(words)}: {reason}"] if reason else []
    assert not wrong, "\n".join(wrong)


@EVERY
def test_every_make_target_and_variable_is_in_the_makefile(document: Path) -> None:
    wrong = []
    for words, _ in commands(document.read_text()):
        if words[0] != "make" or "-C" in words:
            continue
        for word in words[1:]:
            name, given, _ = word.partition("=")
            known = f"$({name})" in MAKEFILE if given else re.search(rf"^{re.escape(name)}:", MAKEFILE, re.M)
            wrong += [] if known else [f"{shlex.join(words)}: {name}"]
    assert not wrong, "\n".join(wrong)


@EVERY
def test_every_program_module_and_test_that_is_run_is_there(document: Path) -> None:
    wrong = []
    for words, _ in commands(document.read_text()):
        if words[0].startswith(".venv/bin/") and not (Path(sys.executable).parent / Path(words[0]).name).exists():
            wrong.append(words[0])
        if words[1] == "-m" and words[2].startswith("tools.") and importlib.util.find_spec(words[2]) is None:
            wrong.append(words[2])
        for word in words:
            path, _, test = word.partition("::")
            if test and f"def {test.partition('[')[0]}(" not in (ROOT / path).read_text():
                wrong.append(word)
    assert not wrong, "\n".join(wrong)


@EVERY
def test_every_path_and_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    wrong = [link for link in _LINK.findall(text) if ":" not in link and not (document.parent / link).exists()]
    for path in _PATH.findall(text):
        path = path.rstrip(".")
        pattern = re.sub(r"<.*?>|[A-Z]{3,}", "*", path) if _PLACEHOLDER.search(path) else path
        found = any(ROOT.glob(pattern.rstrip("/")))
        wrong += [] if found else [path]
    assert not wrong, "\n".join(wrong)


def test_every_call_with_curl_is_one_of_the_hubs() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    values = dict(re.findall(r"\b(HUB|ORG|API)=([^;\s]+)", text)) | {"KEY": "", "K": "", "T": ""}
    known = {re.sub(r"\{[^}]+\}", "X", path) for _, path in CALLS}
    wrong, seen = [], 0
    for line in re.findall(r"curl .*", text):
        for name in ("ORG", "HUB", "API"):
            line = line.replace(f"${name}", values[name])
        line = re.sub(r"\$(ID|OP|MODEL)|/_/", lambda match: "/X/" if match[0] == "/_/" else "X", line.replace("$HUB", values["HUB"]))
        for url in re.findall(r"https?://[\d.]+:\d+(/[^\s\"?]*)", line):
            seen += 1
            wrong += [] if url in known else [url]
    assert seen > 10 and not wrong, "\n".join(wrong)


def python_blocks() -> list[tuple[str, str]]:
    return [(path.relative_to(ROOT).as_posix(), code) for path in DOCUMENTS for kind, code in blocks(path.read_text()) if kind == "python"]


def agent_names() -> set[str]:
    """What an Agent has."""
    tree = ast.parse((FIRMWARE / "redpoll" / "agent.py").read_text())
    agent = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Agent")
    attributes = {node.attr for node in ast.walk(agent) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    return attributes | {node.name for node in agent.body if isinstance(node, ast.FunctionDef)}


def test_the_python_in_documents_imports_and_calls_what_there_is() -> None:
    names, wrong = agent_names(), []
    for where, code in python_blocks():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("redpoll"):
                path = FIRMWARE / node.module.replace(".", "/")
                source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
                for alias in node.names:
                    is_module = (path / f"{alias.name}.py").is_file()
                    wrong += [] if is_module or re.search(rf"\b{alias.name}\b", source) else [f"{where}: {alias.name}"]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "agent" and node.attr not in names:
                wrong.append(f"{where}: agent.{node.attr}")
    for match in re.finditer(r"`@?agent\.(?!py)(\w+)", "".join(path.read_text() for path in DOCUMENTS)):
        wrong += [] if match[1] in names else [match[0]]
    assert python_blocks() and not wrong, "\n".join(wrong)


def test_what_a_product_may_call_of_the_agent_is_told() -> None:
    within = {"tell", "call", "report", "config_version", "space_version"}  # for the agent's own parts and the adapters
    tree = ast.parse((FIRMWARE / "redpoll" / "agent.py").read_text())
    agent = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Agent")
    public = {node.name for node in agent.body if isinstance(node, ast.FunctionDef) and not node.name.startswith(("_", "on_"))}
    told = set(re.findall(r"`(?:@?agent\.)?(\w+)|^@agent\.(\w+)|^agent\.(\w+)", (ROOT / "docs" / "product.md").read_text(), re.M))
    assert public - within - {name for names in told for name in names} == set()


def test_the_table_of_an_adapter_has_all_that_is_asked_of_one() -> None:
    asked: set[str] = set()
    for name in ("agent.py", "config_sync.py", "link.py", "update/reports.py"):
        source = (FIRMWARE / "redpoll" / name).read_text()
        asked |= {*re.findall(r"\badapter\.(\w+)", source), *re.findall(r"\btell\(\"(\w+)\"", source)}
    text = (ROOT / "docs" / "extending.md").read_text().partition("## A cloud")[2]
    rows = re.findall(r"^\| (`.*?) \|", text, re.M)
    assert len(asked) > 12 and asked - {name for row in rows for name in re.findall(r"`(\w+)", row)} == set()


def test_the_table_of_settings_has_those_that_the_firmware_knows() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "settings.md").read_text(), re.M)
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    with firmware() as load:
        assert told == set(load("settings_rules")._KNOWN)


def test_defaults_and_bounds_in_the_table_of_settings_are_those_of_the_firmware() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = {key: cells for cells in re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", text, re.M) for key in re.findall(r"`(\w+)`", cells[0])}
    with firmware() as load:
        numbers = load("settings_rules")._NUMBERS
    for key, (default, low, high) in numbers.items():
        assert rows[key][2].partition(":")[0] == str(default), key
        assert set(re.findall(r"\d+ to \d+", rows[key][1])) <= {f"{low} to {high}"}, key
    ports = {tomllib.loads(board.read_text())["port"] for board in BOARDS.glob("*/board.toml")}
    assert set(re.findall(r'"redpoll-(\w+)"', rows["hardware_key"][2])) == ports


def test_the_exit_statuses_are_those_of_the_tools() -> None:
    from tools.deploy.errors import Status

    text = (ROOT / "docs" / "getting-started.md").read_text()
    told = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", text, re.M) for number in row.split(",")}
    assert told == {int(status) for status in Status if status}


def hexes(kind: str) -> bytes:
    for language, block in blocks((ROOT / "docs" / "flash-formats.md").read_text()):
        if language == f"hex {kind}":
            return bytes.fromhex(block)
    raise KeyError(kind)


def test_the_bytes_of_the_flash_formats_are_those_that_the_firmware_writes(tmp_path: Path) -> None:
    class Clock:
        def ms(self) -> int:
            return 60000

        def wall_at(self, uptime: int) -> int:
            return 1767225600000 + uptime  # 2026-01-01 00:00:00 UTC

    with firmware() as load:
        record, slots, spool = load("flash.record"), load("update.slots"), load("flash.spool")
        record.Record(str(tmp_path / "health")).save({"starts": 3})
        assert (tmp_path / "health").read_bytes() == hexes("record")
        state = slots.Slots(str(tmp_path))
        for slot in ("a", "b"):
            state.unseal(slot)
            state.seal(slot, b"")
        state.switch("a", 0)
        state.switch("b")
        assert (tmp_path / "boot.state").read_bytes() == hexes("boot.state")
        (tmp_path / "spool").mkdir()
        record.Record(str(tmp_path / "spool" / "next")).save(1000)
        number = spool.Spool(8192, str(tmp_path / "spool"), 65536, 0, Clock()).append(1500, b'{"telemetries": {"n": 1}}')
        assert (tmp_path / "spool" / str(number)).read_bytes() == hexes("spool")


def sources() -> str:
    """All that prints something, with the pieces of each text joined."""
    found = []
    for path in [*FIRMWARE.rglob("*.py"), *(ROOT / "tools").rglob("*.py"), ROOT / "Makefile"]:
        found.append(re.sub(r"[\"']\s*\n\s*f?[\"']", "", path.read_text()).replace('\\"', '"'))
    return "\n".join(found)


def test_every_message_in_trouble_shooting_is_one_that_is_printed() -> None:
    # what MicroPython, mbedTLS, mpremote and the operating system say
    theirs = ("not correctly signed by the trusted CA", "ECONNREFUSED", "ETIMEDOUT", "MemoryError", "MBEDTLS_ERR_SSL_CONN_EOF", "-29312")
    theirs += ("The certificate validity starts in the future", "could not enter raw repl")
    printed, wrong, seen = sources(), [], 0
    for row in re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.M):
        for message in re.findall(r"`([^`]+)`", row):
            seen += 1
            parts = [part.strip() for part in message.split("…")]
            wrong += [] if message in theirs or all(part in printed for part in parts) else [message]
    assert seen > 40 and not wrong, "\n".join(wrong)


def test_a_document_that_is_wrong_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert unknown(["deplyo"]) and unknown(["deploy", "--prot"]) and unknown(["board", "jump", "x", "y"])
    assert refused(["board", "wifi", "desk", "maybe"], capsys) and not refused(["board", "wifi", "desk", "off"], capsys)
    assert [words for words, _ in commands("`make run` and\n```\nA=1 .venv/bin/redpoll hub; redpoll run # this\n```\n")] == [
        [".venv/bin/redpoll", "hub"],
        ["redpoll", "run"],
        ["make", "run"],
    ]
    assert os.fspath(ROOT / "README.md") in map(os.fspath, DOCUMENTS)
