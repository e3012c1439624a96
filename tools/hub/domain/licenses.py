"""Licences (reference xyte §2). The hub keeps none yet, so the lists are empty and an update names one that does not exist."""

from typing import Any, NoReturn

from tools.hub.domain.model import Device, text
from tools.hub.errors import NotAllowed, NotFound
from tools.hub.store import Unit

STATES = ("inuse", "removed", "error")


def report(_unit: Unit, _device: Device, body: dict[str, Any]) -> NoReturn:
    """The device says what became of a licence. Raises NotAllowed for another state, NotFound as there is none."""
    text(body.get("id"), "id", required=True)
    if body.get("state") not in STATES:
        raise NotAllowed("Only allowed to set: inuse/removed/error")
    raise NotFound("License not found")
