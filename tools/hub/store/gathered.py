"""What one transaction has read and not yet written: the devices of many messages in one query, their changes in one statement.

Each message of a device reads its row, changes it and adds to its history. Thousands of such statements a second cost more than what
they do; gathered, they are three a transaction. The domain does not see the difference: whatever else it asks of the database is preceded
by what is still to be written, and what changes rows in another way makes the rows read before be read again.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, event, insert, update

from tools.hub.store import tables

_KEY = "gathered"
_CHANGE = update(tables.devices).where(tables.devices.c.id == bindparam("the_id"))
_ADD = insert(tables.telemetry)


class Gathered:
    """Of one transaction. `devices`: those read, None where there is none of that id. `numbers`: whether a device has used a number."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.devices: dict[str, Any] = {}
        self.numbers: dict[tuple[str, int], bool] = {}
        self._changes: dict[str, dict[str, Any]] = {}
        self._messages: list[dict[str, Any]] = []

    def change(self, device_id: str, changes: dict[str, Any]) -> None:
        """Set these columns of a device, with the next writing."""
        waiting = self._changes.get(device_id)
        if waiting is None:
            self._changes[device_id] = changes
        else:
            waiting.update(changes)

    def add_message(self, row: dict[str, Any]) -> None:
        """Add a row of `telemetry`, with the next writing."""
        self._messages.append(row)
        if row["number"] is not None:
            self.numbers[row["device_id"], row["number"]] = True

    def write(self) -> None:
        """Write what waits."""
        changes, self._changes = self._changes, {}
        messages, self._messages = self._messages, []
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for device_id in sorted(changes):  # the same order in every hub: none waits for one that waits for it
            values = changes[device_id]
            alike.setdefault(tuple(values), []).append({"the_id": device_id, **values})
        for rows in alike.values():
            self._db.execute(_CHANGE, rows)
        if messages:
            self._db.execute(_ADD, messages)

    def before(self, statement: Any) -> None:
        """Another statement is about to be run."""
        if self._changes or self._messages:
            self.write()
        if getattr(statement, "is_dml", False) and statement is not _CHANGE and statement is not _ADD:
            self.devices.clear()
            self.numbers.clear()


def gathered_of(db: Connection) -> Gathered | None:
    """What this transaction has gathered; None in one that only reads."""
    found: Gathered | None = db.info.get(_KEY)
    return found


@contextlib.contextmanager
def gathering(db: Connection) -> Iterator[Gathered]:
    """Gather in this transaction. The caller writes what waits before the commit."""
    info = db.info  # asked for again after the connection was lost, it raises in place of what was raised
    info[_KEY] = made = Gathered(db)
    try:
        yield made
    finally:
        info.pop(_KEY, None)


def watch(engine: Engine) -> None:
    """Have the statements of this engine preceded by what waits."""

    def before(db: Connection, statement: Any, *_: Any) -> None:
        found = gathered_of(db)
        if found is not None:
            found.before(statement)

    event.listen(engine, "before_execute", before)
