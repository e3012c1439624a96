"""The stand-ins for a chip's modules, and what the firmware takes from these modules, against MicroPython's public stubs (build/stubs)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.paths import BOARDS, BUILD, FIRMWARE, ROOT

VM = ROOT / "tools" / "board" / "vm"
PORTS = {"esp32": ("machine", "network", "esp32"), "rp2": ("machine", "network", "rp2")}
# the stand-in has more than a chip where it plays both ports, or the machine itself
ONLY_ON = {
    "esp32": {"bootloader", "lightsleep"},
    "rp2": {"wake_reason", "lightsleep"},
}
# modules that only a chip has, so that their names are worth checking; all others are tried on the VM itself
CHIP_MODULES = {"machine", "network", "esp32", "rp2", "esp", "lwip"}


class Names(ast.NodeVisitor):
    """Public names of a module or class: name -> its functions (one for each overload), its Names for a class, or None."""

    def __init__(self, body: list[ast.stmt]) -> None:
        self.found: dict[str, object] = {}
        for node in body:
            self._take(node)

    def _take(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef):
            self.found.setdefault(node.name, [])
            if isinstance(self.found[node.name], list):
                self.found[node.name].append(node)  # type: ignore[attr-defined]
        elif isinstance(node, ast.ClassDef):
            names = Names(node.body)
            names.bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            self.found[node.name] = names
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if ast.unparse(node.annotation) != "Incomplete":  # the manual has it, this port's firmware has not
                self.found[node.target.id] = None
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self.found[target.id] = None
        elif isinstance(node, ast.If):
            for inner in [*node.body, *node.orelse]:
                self._take(inner)

    bases: list[str] = []


def stub(port: str, module: str) -> Names:
    folder = BUILD / "stubs" / port
    path = next((p for p in (folder / f"{module}.pyi", folder / module / "__init__.pyi") if p.is_file()), None)
    if path is None:
        assert folder.is_dir(), "MicroPython's stubs are not in build/stubs; `make setup` fetches them"
        raise KeyError(module)
    return Names(ast.parse(path.read_text()).body)


def stand_in(port: str, module: str) -> Names:
    """What the stand-in has on this port: its own tests of the port are decided, not followed."""
    tree = ast.parse((VM / f"{module}.py").read_text())
    return Names(decided(tree.body, port))


def decided(body: list[ast.stmt], port: str) -> list[ast.stmt]:
    kept: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.If):
            esp32, rp2 = port == "esp32", port == "rp2"
            known = {"_PORT != 'rp2'": not rp2, "_PORT == 'esp32'": esp32, "_ESP32": esp32, "not _ESP32": rp2, "_PORT != 'unix'": True}
            truth = known.get(ast.unparse(node.test))
            if truth is not None:
                kept += decided(node.body if truth else node.orelse, port)
                continue
        if isinstance(node, ast.ClassDef):
            node.body = decided(node.body, port)
        kept.append(node)
    return kept


def public(names: Names) -> dict[str, object]:
    return {name: what for name, what in names.found.items() if not name.startswith("_") or name == "__init__"}


def imported(module: str) -> set[str]:
    """What the stand-in itself imports: it is visible in it, and no part of it."""
    tree = ast.parse((VM / f"{module}.py").read_text())
    return {
        (alias.asname or alias.name) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    }


def accepts(stub_function: ast.FunctionDef, ours: ast.FunctionDef, method: bool) -> str | None:
    """Why ours cannot be called in every way that the stub can; None when it can."""

    def parts(function: ast.FunctionDef) -> tuple[list[str], int, set[str], bool, bool]:
        a = function.args
        positional = [arg.arg for arg in (*a.posonlyargs, *a.args)]
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
        if method and not static:
            positional = positional[1:]
        return positional, len(positional) - len(a.defaults), {arg.arg for arg in a.kwonlyargs}, a.vararg is not None, a.kwarg is not None

    theirs, needed_by_them, their_keywords, their_rest, _ = parts(stub_function)
    mine, needed_by_me, my_keywords, my_rest, my_options = parts(ours)
    if len(theirs) > len(mine) and not my_rest:
        return f"takes {len(mine)} arguments, the real one {len(theirs)}: {theirs}"
    if needed_by_me > needed_by_them and not their_rest:
        return f"needs {needed_by_me} arguments, the real one {needed_by_them}"
    if (missing := their_keywords - my_keywords - set(mine)) and not my_options:
        return f"does not know {sorted(missing)}"
    return None


def compare(place: str, real: Names, ours: Names, known: set[str]) -> list[str]:
    wrong = []
    for name, what in public(ours).items():
        if name in known:
            continue
        if name not in real.found:
            if name != "__init__" and not any(base in ("AbstractBlockDev", "PinBase") for base in real.bases):
                wrong.append(f"{place}.{name} is not in the real one")
            continue
        theirs = real.found[name]
        if isinstance(what, Names) and isinstance(theirs, Names):
            wrong += compare(f"{place}.{name}", theirs, what, known)
        elif isinstance(what, list) and isinstance(theirs, list):
            method = place.count(".") > 0
            for overload in theirs:
                if reason := accepts(overload, what[0], method):
                    wrong.append(f"{place}.{name} {reason}")
    return wrong


@pytest.mark.parametrize(("port", "module"), [(port, module) for port, modules in PORTS.items() for module in modules])
def test_a_stand_in_has_nothing_that_the_chip_has_not_and_can_be_called_as_the_chips(port: str, module: str) -> None:
    wrong = compare(module, stub(port, module), stand_in(port, module), imported(module) | ONLY_ON[port])
    assert not wrong, "\n".join(wrong)


def used(path: Path) -> set[tuple[str, str]]:
    """(module, name) of what a file takes from modules that only chips have."""
    tree = ast.parse(path.read_text())
    aliases: dict[str, str] = {}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases.update({alias.asname or alias.name: alias.name for alias in node.names if alias.name in CHIP_MODULES})
        elif isinstance(node, ast.ImportFrom) and node.module in CHIP_MODULES and not node.level:
            found |= {(node.module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            found.add((aliases[node.value.id], node.attr))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) == 2:
            target, name = node.args[:2]
            if isinstance(target, ast.Name) and target.id in aliases and isinstance(name, ast.Constant):
                found.add((aliases[target.id], str(name.value)))
    return found


def sources(port: str) -> list[Path]:
    """Firmware that this port's chips run."""
    other = {"esp32": ("rp2", "rp2_wlan"), "rp2": ("esp32", "esp32_wlan")}[port]
    files = [p for p in FIRMWARE.rglob("*.py") if p.stem not in (*other, "cpython") or p.parent.name != "port"]
    for board in BOARDS.glob("*/board.toml"):
        if f'port = "{port}"' in board.read_text():
            files += board.parent.glob("*.py")
    return files + list((BOARDS / "common").glob("*.py"))


@pytest.mark.parametrize("port", PORTS)
def test_the_firmware_uses_of_a_chips_modules_only_what_the_chip_has_and_the_stand_in_too(port: str) -> None:
    wrong = []
    for path in sources(port):
        for module, name in sorted(used(path)):
            where = f"{path.relative_to(ROOT)}: {module}.{name}"
            try:
                real = stub(port, module)
            except KeyError:
                continue  # a module of the other port, which is imported where it exists only
            if name not in real.found:
                wrong.append(f"{where} is not there on {port}")
            elif module in PORTS[port] and name not in stand_in(port, module).found:
                wrong.append(f"{where} is not in the stand-in")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("port", PORTS)
def test_the_radio_is_called_only_as_the_real_one_can_be(port: str) -> None:
    wlan = stub(port, "network").found["WLAN"]
    assert isinstance(wlan, Names)
    count = 0
    for path in (FIRMWARE / "redpoll" / "port" / f"{name}.py" for name in ("wlan", f"{port}_wlan")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self._wlan":
                count += 1
                overloads = wlan.found.get(node.func.attr)
                assert overloads, f"{path.name}: WLAN.{node.func.attr} is not there on {port}"
                assert isinstance(overloads, list)
                assert any(fits(overload, node) for overload in overloads), f"{path.name}: {ast.unparse(node)} does not fit on {port}"
    assert count >= 7


def calls(tree: ast.Module) -> Iterator[tuple[str, list[str], ast.Call]]:
    """(module, names below it, call) of each call of what a chip's module has: `machine.WDT(...)`, `esp32.Partition.find(...)`."""
    places: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            places |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in CHIP_MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module in CHIP_MODULES and not node.level:
            places |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            top, *below = named(node.func)
            module, *names = ".".join([places.get(top, ""), *below]).split(".")
            if module and names:
                yield module, names, node


def named(node: ast.expr) -> list[str]:
    """The names of `machine.RTC().datetime`: what a class makes has the class's methods."""
    if isinstance(node, ast.Attribute):
        return [*named(node.value), node.attr]
    if isinstance(node, ast.Call):
        return named(node.func)
    return [node.id if isinstance(node, ast.Name) else ""]


def signatures(found: object, names: list[str]) -> list[tuple[ast.FunctionDef, bool]]:
    """The overloads of what is called, and whether each is called without its first argument."""
    inside = False
    for name in names:
        found = found.found.get(name) if isinstance(found, Names) else None
        inside = inside or isinstance(found, Names)
    if isinstance(found, Names):
        found = found.found.get("__init__")
    if not isinstance(found, list):
        return []
    static = {"staticmethod"}
    return [(one, inside and not static & {ast.unparse(d) for d in one.decorator_list}) for one in found]


@pytest.mark.parametrize("port", PORTS)
def test_the_firmware_calls_a_chips_modules_only_as_the_real_ones_can_be(port: str) -> None:
    wrong, seen = [], set()
    for path in sources(port):
        for module, names, call in calls(ast.parse(path.read_text())):
            if module in PORTS[port]:
                overloads = signatures(stub(port, module), names)
                seen.add(".".join([module, *names]))
                if not any(fits(function, call, bound) for function, bound in overloads):
                    wrong.append(f"{path.relative_to(ROOT)}: {ast.unparse(call)} does not fit on {port}")
    assert not wrong, "\n".join(wrong)
    assert {"machine.WDT", "machine.Timer", "machine.deepsleep", "network.WLAN", "machine.Pin"} <= seen


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ("machine.WDT(timeout=8388)", True),
        ("machine.WDT(tiemout=8388)", False),
        ("machine.reset(1)", False),
        ("machine.deepsleep(1, 2)", False),
        ("machine.nosuch()", False),
        ("machine.RTC().datetime(())", True),
        ("machine.RTC().datetime((), 1)", False),
        ("esp32.Partition.mark_app_valid_cancel_rollback()", True),
        ("esp32.Partition.mark_app_valid_cancel_rollback(1)", False),
    ],
)
def test_a_call_that_the_real_one_refuses_is_found(call: str, right: bool) -> None:
    module, names, found = next(calls(ast.parse(f"import machine, esp32\n{call}\n")))  # the outermost
    assert any(fits(function, found, bound) for function, bound in signatures(stub("esp32", module), names)) is right


def fits(function: ast.FunctionDef, call: ast.Call, bound: bool = True) -> bool:
    """Can it be called with as many arguments and these keywords? `bound`: its first argument is self."""
    a = function.args
    most = len(a.posonlyargs) + len(a.args) - bound
    keywords = {arg.arg for arg in (*a.args, *a.kwonlyargs)}
    known = all(keyword.arg in keywords or a.kwarg for keyword in call.keywords)
    return known and (len(call.args) <= most or a.vararg is not None) and len(call.args) + len(call.keywords) >= most - len(a.defaults)


def test_a_wrong_name_and_a_wrong_signature_are_found() -> None:
    real = Names(
        ast.parse("def reset() -> None: ...\nclass WDT:\n    def __init__(self, id: int = 0, timeout: int = 5000) -> None: ...\n").body
    )
    ours = Names(ast.parse("def resett(): pass\nclass WDT:\n    def __init__(self, timeout): pass\n").body)
    wrong = compare("machine", real, ours, set())
    assert [line.partition(" ")[0] for line in wrong] == ["machine.resett", "machine.WDT.__init__"]
