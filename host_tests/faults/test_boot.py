"""boot.py on a real LittleFS in the VM: which slot starts, and what happens when it does not go well."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from on_vm import on_vm

from tools.paths import FIRMWARE

HERE = Path(__file__).resolve().parent
CASES = [
    node.name
    for node in ast.parse((HERE / "boot_cases.py").read_text()).body
    if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["board"] and not node.name.startswith("_")
]


@pytest.mark.parametrize("case", CASES)
def test_boot(case: str, tmp_path: Path, figure: Callable[[str], None]) -> None:
    on_vm(f"import boot_cases; boot_cases.run({str(FIRMWARE / 'boot.py')!r}, {case!r})", tmp_path, figure)
