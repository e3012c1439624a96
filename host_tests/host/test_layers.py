"""Imports point one way: between the parts of the bench, and within the hub."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tools.paths import ROOT

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
