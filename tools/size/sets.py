"""Which modules a board needs for what, and how many bytes of bytecode they are."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.bytecode import compile_firmware
from tools.mpy import module_name
from tools.paths import BUILD, FIRMWARE, LIB

# what is loaded for telemetry over MQTT 5, from a first start on; the modules that those import at their top are added
_TELEMETRY = (
    *("redpoll", "redpoll.version", "redpoll.agent", "redpoll.cloud.registration", "redpoll.cloud.xyte_mqtt"),
    *("redpoll.net.tls", "redpoll.net.mqtt_requests", "redpoll.net.mqtt5_connect"),
)
_CONTROL = (*_TELEMETRY, "redpoll.config", "redpoll.commands")
_UPDATE = "redpoll.update"
_PORTS = "redpoll.port."
# what a chip loads for Wi-Fi and the time
_RADIO = ("redpoll.radio", "redpoll.net.ntp", _PORTS + "wlan")


@dataclass(frozen=True)
class FeatureSet:
    """One choice of features. `wanted` is what a measured start waits for, see vm_side/size."""

    name: str
    title: str
    modules: tuple[str, ...]
    wanted: tuple[str, ...]


def feature_sets(port: str = "unix") -> list[FeatureSet]:
    """The sets, each larger than the one before, on boards of this port (firmware/redpoll/port)."""
    sources = module_files()
    ports = tuple(name for name in (_PORTS + "chip", _PORTS + port) if name in sources)
    if (station := f"{_PORTS}{port}_wlan") in sources:
        ports += *_RADIO, station
    update = tuple(name for name in sources if name == _UPDATE or name.startswith(_UPDATE + "."))
    every = tuple(name for name in sources if not name.startswith(_PORTS))
    both = ("config", "command")
    found = [
        FeatureSet("telemetry", "telemetry over MQTT 5", closure((*_TELEMETRY, *ports)), ()),
        FeatureSet("control", "+ config and commands", closure((*_CONTROL, *ports)), both),
    ]
    if update:
        found.append(FeatureSet("update", "+ update", closure((*_CONTROL, *update, *ports)), both))
    return [*found, FeatureSet("everything", "everything", closure((*every, *ports)), (*both, "license"))]


def module_files() -> dict[str, Path]:
    """Name -> source of each module of the firmware, and of umqtt.simple."""
    found = {}
    for top in (FIRMWARE / "redpoll", LIB / "umqtt"):
        for source in sorted(top.rglob("*.py")):
            parts = source.relative_to(top.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = source
    return found


def closure(roots: Iterable[str]) -> tuple[str, ...]:
    """The modules with all that importing them imports, each after what it imports itself."""
    sources = module_files()
    ordered: list[str] = []
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun or name not in sources:
            return
        begun.add(name)
        visit(name.rpartition(".")[0])
        for imported in _imports(name, sources[name]):
            visit(imported)
        ordered.append(name)

    for root in roots:
        visit(root)
    return tuple(ordered)


def _imports(name: str, source: Path) -> list[str]:
    # what a module imports when it is imported itself: not within functions, and not the port of another platform
    package = name if source.stem == "__init__" else name.rpartition(".")[0]
    found = []
    for node in _at_import(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [module for module in found if name != "redpoll.port" or not module.startswith(_PORTS)]


def _at_import(tree: ast.AST) -> Iterable[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef):
            yield node
            yield from _at_import(node)


def bytecode_sizes(names: Iterable[str]) -> dict[str, int]:
    """Bytes of .mpy of each module. Raises tools.mpy.CompileError."""
    found = {}
    for folder in (FIRMWARE, LIB):
        for path, compiled in compile_firmware(folder, BUILD / "size" / folder.name).items():
            found[module_name(path.replace(".mpy", ".py"))] = compiled.stat().st_size
    return {name: found[name] for name in names}
