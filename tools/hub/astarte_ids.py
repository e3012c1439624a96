"""How Astarte calls a device: the 16 bytes of its UUID in base64url without padding, 22 characters (reference edgehog-astarte §3)."""

import contextlib
import uuid

from tools.hub import base64url


def device_id(hub_id: str) -> str:
    """Astarte's id of a device, by the hub's own, a UUID."""
    return base64url.encode(uuid.UUID(hub_id).bytes)


def hub_id(device: str) -> str | None:
    """The hub's own id of a device, by Astarte's; None for a text that is none."""
    with contextlib.suppress(ValueError):
        if len(device) == 22 and device.isascii():
            found = str(uuid.UUID(bytes=base64url.decode(device)))
            return found if device_id(found) == device else None
    return None
