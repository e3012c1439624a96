"""A message as it is printed, read again, and told from others."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One message: `way` "→" from the device or "←" to it, topic or request line, what goes along, and its body, decoded."""

    cloud: str
    way: str
    head: str
    about: dict[str, str]
    body: Any

    def shape(self) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
        """What of it is the same in another capture: ids left out, of what goes along and of the body's first level the names."""
        body = self.body if isinstance(self.body, dict) else {}
        body = body.get("v", body)  # Astarte's objects lie one level deeper
        names = sorted(f"{key}={value}" if key.endswith("status") else key for key, value in body.items())
        head = re.sub(r"[0-9a-f]{8}…|(?<![\w-])[\w-]{22}(?=/|$)|DEPLOY-V2/NOTIFY/[^/]+", "ID", self.head)
        return self.way, re.sub(r"\d+ bytes", "N bytes", head), tuple(sorted(self.about)), tuple(names)

    def lines(self) -> list[str]:
        """As it is printed."""
        first = "  ".join([f"{self.way} {self.head}", *(f"{name}={value}" for name, value in self.about.items())])
        if self.body is None:
            return [first]
        return [first, f"  {self.body if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False)}"]


def parsed(cloud: str, text: str) -> list[Message]:
    """The messages of a text that lines() has made. Raises ValueError for what is none."""
    found: list[Message] = []
    for line in text.splitlines():
        if line.startswith("  ") and found:
            last = found[-1]
            body = json.loads(line) if line[2] in "{[" else line[2:]
            found[-1] = Message(cloud, last.way, last.head, last.about, body)
        elif line[:2] in ("→ ", "← "):
            head, *about = line[2:].split("  ")
            found.append(Message(cloud, line[0], head, dict(part.split("=", 1) for part in about), None))
        elif line.strip():
            raise ValueError(f"no message: {line}")
    return found


def decoded(data: bytes) -> Any:
    """A body as it is shown: JSON, a short text, or how long it is; None for none."""
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        pass
    return data.decode() if data.isascii() and len(data) < 200 and data.decode().isprintable() else f"{len(data)} bytes"
