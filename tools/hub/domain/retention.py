"""What is forgotten, and when, so that a hub that runs for months does not grow without end.

The operator says how many days things are kept and how many messages of each device; the events of updates stay for as long as seed 002
has it; a device's state, configuration, licences and what is not finished stay whatever their age. What else a device can pile up is
bounded where it is added (events, incidents, dumps, operations). Everything goes oldest first, a bounded number of rows at a time, so that
the messages of the moment never wait long for it.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, select, update

from tools.hub.domain.updates import EVENT_SECONDS
from tools.hub.store import tables
from tools.hub.store.unit import Unit

DAYS = 90.0
MESSAGES = 100_000  # of each device
COMMANDS = 1000  # finished ones of each device
ROWS = 1000  # that one piece of work forgets
_DAY = 86_400.0
_FINISHED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Keep:
    """How much is kept. `days` None: without regard to age."""

    days: float | None = DAYS
    messages: int = MESSAGES


def prune(unit: Unit, keep: Keep, rows: int = ROWS) -> bool:
    """Forget so many rows of what is to be forgotten; whether there may be more."""
    steps = [_crowded_history, _crowded_commands, _expired_update_events]
    if keep.days is not None:
        steps += [_old_messages, _old_events, _old_incidents, _old_commands, _old_notifications, _old_operations, _old_updates]
    left = rows
    for step in steps:
        left -= step(unit, keep, left)
        if left <= 0:
            return True
    return False


def _cutoff(unit: Unit, keep: Keep) -> float:
    assert keep.days is not None
    return unit.now - keep.days * _DAY


def _old_messages(unit: Unit, keep: Keep, rows: int) -> int:
    """They came in the order of `seq`, so the old ones are the first."""
    found = unit.db.execute(select(_T.seq, _T.received_at).order_by(_T.seq).limit(rows)).all()
    cutoff = _cutoff(unit, keep)
    last = None
    for seq, received_at in found:
        if received_at >= cutoff:
            break
        last = seq
    if last is None:
        return 0
    gone = unit.db.execute(delete(tables.telemetry).where(_T.seq <= last).returning(_T.device_id)).scalars()
    return _count_down(unit, Counter(gone))


def _crowded_history(unit: Unit, keep: Keep, rows: int) -> int:
    query = select(_D.id).where(_D.kept_messages > keep.messages).order_by(_D.id).limit(rows)
    done = 0
    for device_id in unit.db.execute(query).scalars().all():
        # the row is held until the commit: what another hub forgets of this device meanwhile would be counted twice
        kept = unit.db.execute(select(_D.kept_messages).where(_D.id == device_id).with_for_update()).scalar_one_or_none()
        number = min((kept or 0) - keep.messages, rows - done)
        if number <= 0:
            continue  # another hub was faster
        oldest = select(_T.seq).where(_T.device_id == device_id).order_by(_T.seq).limit(number)
        gone = unit.db.execute(delete(tables.telemetry).where(_T.seq.in_(oldest.scalar_subquery())).returning(_T.device_id)).scalars()
        _count_down(unit, Counter(gone))
        done += number
        if done >= rows:
            break
    return done


def _count_down(unit: Unit, gone: Counter[str]) -> int:
    if gone:
        unit.db.execute(_FEWER, [{"the_id": device_id, "fewer": number} for device_id, number in sorted(gone.items())])
    return gone.total()


def _crowded_commands(unit: Unit, _keep: Keep, rows: int) -> int:
    finished = _C.status.in_(_FINISHED)
    query = select(_C.device_id).where(finished).group_by(_C.device_id).having(func.count() > COMMANDS).limit(rows)
    done = 0
    for device_id in unit.db.execute(query).scalars().all():
        # those behind the newest, whatever another hub has forgotten meanwhile
        behind = select(_C.seq).where(_C.device_id == device_id, finished).order_by(_C.seq.desc()).offset(COMMANDS).subquery()
        oldest = select(behind.c.seq).order_by(behind.c.seq).limit(rows - done)
        done += unit.db.execute(delete(tables.commands).where(_C.seq.in_(oldest.scalar_subquery()))).rowcount
        if done >= rows:
            break
    return done


def _old_events(unit: Unit, keep: Keep, rows: int) -> int:
    return _forget(unit, tables.events, "seq", rows, tables.events.c.received_at < _cutoff(unit, keep))


def _old_incidents(unit: Unit, keep: Keep, rows: int) -> int:
    found = tables.incidents.c
    return _forget(unit, tables.incidents, "seq", rows, found.status == "closed", found.updated_at < _cutoff(unit, keep))


def _old_commands(unit: Unit, keep: Keep, rows: int) -> int:
    return _forget(unit, tables.commands, "seq", rows, _C.status.in_(_FINISHED), _C.updated_at < _cutoff(unit, keep))


def _old_notifications(unit: Unit, keep: Keep, rows: int) -> int:
    old = select(_O.id).where(_is_over(unit, keep)).scalar_subquery()
    return _forget(unit, tables.notifications, "id", rows, tables.notifications.c.operation_id.in_(old))


def _old_operations(unit: Unit, keep: Keep, rows: int) -> int:
    """Those whose notifications have gone."""
    told = select(tables.notifications.c.id).where(tables.notifications.c.operation_id == _O.id).exists()
    return _forget(unit, tables.operations, "id", rows, _is_over(unit, keep), ~told)


def _expired_update_events(unit: Unit, _keep: Keep, rows: int) -> int:
    """Those as old as their interface says, whatever the operator keeps of the rest."""
    return _forget(unit, tables.update_events, "seq", rows, tables.update_events.c.received_at < unit.now - EVENT_SECONDS)


def _old_updates(unit: Unit, keep: Keep, rows: int) -> int:
    """Updates without any event that have ended, or that the device began."""
    events, found = tables.update_events.c, tables.updates.c
    told = select(events.seq).where(events.device_id == found.device_id, events.uuid == found.uuid).exists()
    over = found.status.in_(("Success", "Failure")) | found.requested.is_(False)
    return _forget(unit, tables.updates, "seq", rows, found.updated_at < _cutoff(unit, keep), over, ~told)


def _is_over(unit: Unit, keep: Keep) -> Any:
    """An operation that has ended, or that a device began and never told of again, for so long."""
    return (_O.updated_at < _cutoff(unit, keep)) & (_O.ended_at.is_not(None) | _O.command_id.is_(None))


def _forget(unit: Unit, table: Table, key: str, rows: int, *which: Any) -> int:
    column = table.c[key]
    oldest = select(column).where(*which).order_by(column).limit(rows).scalar_subquery()
    return int(unit.db.execute(delete(table).where(column.in_(oldest))).rowcount)


_T, _D, _C, _O = tables.telemetry.c, tables.devices.c, tables.commands.c, tables.operations.c
_FEWER = update(tables.devices).where(_D.id == bindparam("the_id")).values(kept_messages=_D.kept_messages - bindparam("fewer"))
