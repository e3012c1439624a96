"""boards/budgets.toml: what the firmware may take of a board."""

import tomllib

from tools.paths import BOARDS

BUDGETS = BOARDS / "budgets.toml"


def budgets() -> dict[str, dict[str, int]]:
    """Its tables: bytes of bytecode, KB of heap on each machine of tools/size/machines.py, and where they are to arrive ("target")."""
    found: dict[str, dict[str, int]] = tomllib.loads(BUDGETS.read_text())
    return found
