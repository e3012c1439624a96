"""Imports point one way: in the firmware, between the parts of the bench, and within the hub."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

from tools.paths import FIRMWARE, ROOT

REDPOLL = FIRMWARE / "redpoll"
# from the bottom, by the first name below redpoll
FIRMWARE_LAYERS = (
    {"port"},
    {"backoff", "clock", "fields", "jsonin", "log", "rsa", "sha512", "version"},
    {"flash", "net"},
    {"settings", "settings_rules"},
    {"cloud", "commands", "config", "config_sync", "health", "licenses", "telemetry", "update"},
    {"battery", "link", "radio"},
    {"agent"},
    {"__init__"},
)
FEATURES = {"commands", "config", "config_sync", "health", "licenses", "telemetry", "update"}
# an update fetches its file and tells its events by way of the cloud; timestamps.py knows no cloud
CROSSING = {
    ("update.service", "cloud.https"),
    ("update.service", "cloud.files"),
    ("update.reports", "cloud.astarte"),
    ("update.reports", "cloud.kura"),
    ("licenses", "cloud.timestamps"),
}
TOOLS = ROOT / "tools"
HUB = TOOLS / "hub"
# from the bottom; what is named together may not import each other
LAYERS = (
    {"errors", "times", "base64url", "tasks", "client", "data_folder", "ports"},
    {"astarte_ids"},
    {"activity", "security", "process"},
    {"store"},
    {"broker"},
    {"domain"},
    {"hub"},
    {"facets"},
    {"docs"},
    {"app"},
    {"server"},
    {"command"},
)


def layer_of(module: str) -> int:
    """`module` is tools.hub.NAME..."""
    name = module.split(".")[2]
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imports(path: Path, package: str = "tools.hub") -> Iterator[str]:
    """The modules of the package that a file imports, packages by the name that is taken from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (f"{package}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}."):
            yield node.module


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_no_module_of_the_hub_imports_from_a_layer_above_its_own() -> None:
    wrong, count = [], 0
    for path in sorted(HUB.rglob("*.py")):
        module = module_of(path)
        if module == "tools.hub.__init__":
            continue
        for imported in imports(path):
            count += 1
            same = imported.split(".")[2] == module.split(".")[2]
            if not same and layer_of(imported) >= layer_of(module):
                wrong.append(f"{module} imports {imported}")
    assert count > 200
    assert wrong == []


def firmware_imports() -> Iterator[tuple[str, str]]:
    """(module, module that it imports), at its top or within a function, by their names below redpoll."""
    for path in sorted(REDPOLL.rglob("*.py")):
        *folders, name = path.relative_to(REDPOLL).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = [*folders[: len(folders) - node.level + 1], *(node.module or "").split(".")]
                for alias in node.names:
                    found = [*filter(None, base), alias.name]
                    is_module = REDPOLL.joinpath(*found).with_suffix(".py").is_file() or REDPOLL.joinpath(*found).is_dir()
                    yield ".".join([*folders, name]), ".".join(found if is_module else found[:-1])


def firmware_layer(module: str) -> int:
    return next(number for number, names in enumerate(FIRMWARE_LAYERS) if module.partition(".")[0] in names)


def test_no_module_of_the_firmware_imports_from_a_layer_above_its_own() -> None:
    found = list(firmware_imports())
    assert len(found) > 150
    assert [pair for pair in found if firmware_layer(pair[1]) > firmware_layer(pair[0])] == []


def test_a_feature_imports_no_cloud_but_where_an_update_is_fetched_and_told_and_no_cloud_a_feature() -> None:
    sides = [(one, other, {one.partition(".")[0], other.partition(".")[0]}) for one, other in firmware_imports()]
    assert {(one, other) for one, other, parts in sides if "cloud" in parts and parts & FEATURES} == CROSSING


def test_only_the_port_asks_which_interpreter_or_chip_it_is_on() -> None:
    chips = {"esp", "esp32", "machine", "network", "rp2"}
    wrong = []
    for path in sorted(REDPOLL.rglob("*.py")):
        if path.parent.name == "port":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wrong += [f"{path.name} imports {alias.name}" for alias in node.names if alias.name in chips]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module in chips:
                wrong.append(f"{path.name} imports from {node.module}")
            elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.platform", "sys.implementation"):
                wrong.append(f"{path.name}: {ast.unparse(node)}")
    assert wrong == []


def test_no_two_parts_of_the_bench_import_each_other() -> None:
    """A part is a package or a module of tools/. In a circle none of them could be read, or used, alone."""
    needs: dict[str, set[str]] = {}
    for path in sorted(TOOLS.rglob("*.py")):
        part = module_of(path).split(".")[1]
        needs.setdefault(part, set()).update({imported.split(".")[1] for imported in imports(path, "tools")} - {part})
    order = list(TopologicalSorter(needs).static_order())  # raises CycleError with the circle
    assert order.index("paths") < order.index("board") < order.index("bundle") < order.index("deploy") < order.index("flash")


def test_no_facet_imports_another_but_the_link_to_a_file_that_xyte_serves() -> None:
    facets, crossing = HUB / "facets", set()
    for folder in (path for path in facets.iterdir() if path.is_dir()):
        for path in folder.rglob("*.py"):
            for imported in imports(path):
                parts = imported.split(".")
                if parts[2] == "facets" and len(parts) > 3 and (facets / parts[3]).is_dir() and parts[3] != folder.name:
                    crossing.add((module_of(path), imported))
    assert crossing == {("tools.hub.facets.astarte.mqtt", "tools.hub.facets.xyte")}


def test_what_the_bench_imports_is_a_dependency_of_its_own() -> None:
    """And not of another package, which may take it in another version, or no longer."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["bench"]]
    declared = {re.split(r"[=\[]", one)[0] for one in wanted} | {"starlette"}  # FastAPI is made of it, and gives its classes out
    on_the_vm = [TOOLS / "board" / "vm", TOOLS / "vm_side", TOOLS / "chip" / "setup.py"]
    known = {*sys.stdlib_module_names, "tools", "_typeshed"}
    found: dict[str, str] = {}
    for path in sorted(TOOLS.rglob("*.py")):
        if not any(path.is_relative_to(place) for place in on_the_vm):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                found |= {name.partition(".")[0]: path.relative_to(ROOT).as_posix() for name in names}
    brought_by = {name: {re.sub("[-_.]+", "-", one).lower() for one in ones} for name, ones in metadata.packages_distributions().items()}
    # what is not installed, as the drawing of plots, is known by its own name
    wrong = {name: path for name, path in found.items() if name not in known and declared.isdisjoint(brought_by.get(name, {name}))}
    assert len(found) > 20 and wrong == {}
