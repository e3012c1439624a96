"""What has passed so far: the first message of each kind, without its secrets, and waiting for more."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.wire.message import Message

PATIENCE = 45.0  # seconds for whatever is waited for
_LONGEST = 48  # characters of a text that are shown
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


@dataclass
class Seen:
    """The first message of each kind. What is secret in them is cut short: the access keys as soon as they are known."""

    _kept: dict[tuple[object, ...], Message] = field(default_factory=dict)
    _keys: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, cloud: str, way: str, head: str, about: dict[str, str], body: Any) -> None:
        """A message has passed; it is kept when it is the first of its shape."""
        with self._lock:
            if isinstance(body, dict) and isinstance(body.get("access_key"), str):
                self._keys.add(body["access_key"])
            message = Message(cloud, way, self._short(head), {name: self._short(value) for name, value in about.items()}, self._shown(body))
            self._kept.setdefault((cloud, message.shape()), message)

    def messages(self) -> list[Message]:
        """Those that are kept, in the order that they came."""
        with self._lock:
            return list(self._kept.values())

    def wait(self, cloud: str, way: str, ending: str, kinds: int = 1) -> None:
        """Wait until there are messages of so many kinds to topics or paths that end like this. Raises TimeoutError."""

        def found() -> int:
            return sum(message.cloud == cloud and message.way == way and message.head.endswith(ending) for message in self.messages())

        wait_for(found, lambda count: count >= kinds, f"{kinds} kinds of {cloud} messages that end with {ending}")

    def _short(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key, key[:8] + "…")
        text = _UUID.sub(r"\1…", text)
        return _cut(text, 2 * _LONGEST)

    def _shown(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._shown(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._shown(one) for one in value]
        if isinstance(value, str):
            return _cut(self._short(value), _LONGEST)
        return value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most].rstrip("…") + "…"


def wait_for(look: Callable[[], Any], good: Callable[[Any], object], what: str) -> Any:
    """The first value of `look` that is good. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not good(found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:g} s in vain for {what}")
        time.sleep(0.1)
    return found
