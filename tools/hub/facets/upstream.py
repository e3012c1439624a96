"""What the operator is told of a message from a device's side: that it was taken, or why not. The same on every wire."""

from dataclasses import dataclass

from tools.hub.domain import problems
from tools.hub.domain.model import Device, find_device, tell
from tools.hub.errors import Refused
from tools.hub.hub import Hub
from tools.hub.store.unit import Happening, Unit


@dataclass(frozen=True)
class Upstream:
    """One message: `device_id` is the device in whose name it came, whether that is true or not, `size` in bytes."""

    device_id: str
    transport: str  # http or mqtt
    kind: str
    size: int

    def taken(self, unit: Unit, device: Device) -> None:
        """It was the device's, and is stored."""
        problems.clear(unit, device, problems.refused(self.kind))
        tell(unit, "upstreamMessage", device, **self._data(), **unit.marks)

    def refused(self, hub: Hub, unit: Unit, device: Device | None, why: Refused) -> None:
        """It was not taken. `device`: who has sent it, where that was shown; only then is it a problem of that device."""
        data = {**self._data(), "refused": str(why)}
        named = find_device(unit.db, self.device_id)
        if named is None:
            unit.activities.append(Happening("upstreamMessage", None, hub.home, data))
        else:
            tell(unit, "upstreamMessage", named, **data)
        if device is not None:
            problems.note(unit, device, problems.refused(self.kind), str(why))

    def _data(self) -> dict[str, str]:
        return {"bytes": str(self.size), "transport": self.transport, "kind": self.kind}
