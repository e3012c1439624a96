"""build/bench.json: the figures of every measurement, by its name."""

import json
from typing import Any

from tools.paths import BUILD

RESULTS = BUILD / "bench.json"


def save(name: str, figures: dict[str, dict[str, Any]]) -> None:
    """Add figures, {what was measured: {figure: value}}; those of before that are not among them stay."""
    RESULTS.parent.mkdir(exist_ok=True)
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    old = kept.get(name, {})
    kept[name] = old | {key: old.get(key, {}) | found for key, found in figures.items()}
    RESULTS.write_text(json.dumps(kept, indent=1))
