"""The merged state of a device, whatever the order in which its messages arrive.

The rule: the state is what the messages make of it in the order of their times, not of their arrival; of two with the same time the later
arrival counts. So a late message changes only the keys that nothing newer has set or removed, and its `override` removes only what
is older than itself. For this each key has the time it was set or removed at, beside the state:

    {"at": the newest message's, "floor": what is absent stays absent for messages older than this, "times": {key: time}}

in whole milliseconds since 1970. The floor is the newest `override`'s time; it also bounds how many removed keys have a time of their own.
"""

from dataclasses import dataclass
from typing import Any

REMOVED_MAX = 200  # removed keys that have a time of their own


@dataclass(frozen=True)
class Merged:
    """The state with one more message in it."""

    state: dict[str, Any]
    order: dict[str, Any]
    taken: frozenset[str]  # the keys of the message that were not older than what was there
    newest: bool  # no message before it was newer


def merge(state: dict[str, Any], order: dict[str, Any], values: dict[str, Any], at: int, override: bool) -> Merged:
    """Put the message of the time `at` in its place: a null removes a key, `override` removes all that the message does not have."""
    times: dict[str, int] = dict(order["times"])
    floor: int = order["floor"]
    taken = frozenset(name for name in values if at >= max(times.get(name, 0), 0 if name in state else floor))
    merged = dict(state)
    if override:
        floor = max(floor, at)
        merged = {name: value for name, value in merged.items() if times.get(name, 0) > at}
    for name in taken:
        times[name] = at
        if values[name] is None:
            merged.pop(name, None)
    merged.update({name: values[name] for name in values if name in taken and values[name] is not None})  # in the message's order
    removed = sorted(time for name, time in times.items() if name not in merged and time > floor)
    if len(removed) > REMOVED_MAX:
        floor = removed[-REMOVED_MAX - 1]
    times = {name: time for name, time in times.items() if name in merged or time > floor}
    newest = at >= order["at"]
    return Merged(merged, {"at": max(at, order["at"]), "floor": floor, "times": times}, taken, newest)


def first_order(state: dict[str, Any], at: float | None) -> dict[str, Any]:
    """What stands beside a state that has no order yet: everything in it was set at this time (seconds since 1970)."""
    milliseconds = 0 if at is None else round(at * 1000)
    return {"at": milliseconds, "floor": 0, "times": dict.fromkeys(state, milliseconds)}
