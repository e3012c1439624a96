"""Collections and their devices."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from tools.hub.domain import cellular, devices, firmware, operations, spaces, telemetry
from tools.hub.domain.model import Device, get_device
from tools.hub.domain.spaces import Space
from tools.hub.errors import Invalid
from tools.hub.facets import wire
from tools.hub.facets.span import shapes
from tools.hub.facets.span.reading import check_fields, device_of, name_of, sim_of, space_of
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit


class CollectionCalls:
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def list_collections(self) -> JSONResponse:
        """All collections: the hub's spaces, and the home of the devices that nobody has claimed."""
        found = await self._hub.store.read(spaces.list_spaces)
        return JSONResponse({"collections": [shapes.collection(space) for space in found]})

    async def create_collection(self, request: Request) -> JSONResponse:
        """Create a collection: tags {name}."""
        body = await wire.read_object(request)
        check_fields(body, ("tags",))
        name = name_of(body)
        return JSONResponse(shapes.collection(await self._hub.do(lambda unit: spaces.add(unit, name))))

    async def retrieve_collection(self, collection_id: str) -> JSONResponse:
        """One collection."""
        return JSONResponse(shapes.collection(await self._hub.store.read(lambda db: space_of(db, collection_id))))

    async def update_collection(self, collection_id: str, request: Request) -> JSONResponse:
        """Rename a collection: tags {name}. Its devices are told."""
        body = await wire.read_object(request)
        check_fields(body, ("tags",))
        name = name_of(body)

        def work(unit: Unit) -> Space:
            space = space_of(unit.db, collection_id)
            if space.space_id is None:
                raise Invalid("The home of unclaimed devices keeps its name")
            return space if name is None else spaces.change(unit, space.space_id, name, None)

        return JSONResponse(shapes.collection(await self._hub.do(work)))

    async def list_devices(self, collection_id: str) -> JSONResponse:
        """The devices of a collection."""

        def work(db: Connection) -> list[dict[str, Any]]:
            found = devices.devices_in(db, space_of(db, collection_id).id)
            steps = operations.updates_under_way(db, collection_id)
            latest = {model: firmware.latest(db, model) for model in {device.hardware_key for device in found}}
            return [shapes.device(device, latest[device.hardware_key], steps.get(device.id)) for device in found]

        return JSONResponse({"devices": await self._hub.store.read(work)})

    async def retrieve_device(self, collection_id: str, device_id: str) -> JSONResponse:
        """One device, with the last message it has sent."""
        return JSONResponse(await self._hub.store.read(lambda db: _shown(db, device_of(db, collection_id, device_id))))

    async def update_device(self, collection_id: str, device_id: str, request: Request) -> JSONResponse:
        """Change a device: collectionId moves it, tags {name} renames it, config {ciot {imsi, imei}} sets these; an empty text clears."""
        body = await wire.read_object(request)
        check_fields(body, ("collectionId", "tags", "config", "imsi", "imei"))
        name, sim, target = name_of(body), sim_of(body), body.get("collectionId")

        def work(unit: Unit) -> dict[str, Any]:
            device = device_of(unit.db, collection_id, device_id)
            space = space_of(unit.db, target) if target is not None else None
            if space is not None and space.id != device.collection_id:
                devices.move(unit, device, space)
            if name is not None and name != device.name:
                devices.rename(unit, get_device(unit.db, device.id), name)
            if sim:
                cellular.set_by_operator(unit, get_device(unit.db, device.id), sim)
            return _shown(unit.db, get_device(unit.db, device.id))

        return JSONResponse(await self._hub.do(work))

    async def delete_device(self, collection_id: str, device_id: str) -> JSONResponse:
        """Remove a device; the answer is the device as it was."""

        def work(unit: Unit) -> dict[str, Any]:
            device = device_of(unit.db, collection_id, device_id)
            was = _shown(unit.db, device)
            devices.remove(unit, device, "operator", self._hub.settings.data)
            return was

        return JSONResponse(await self._hub.do(work))

    async def list_certificates(self, collection_id: str, device_id: str) -> JSONResponse:
        """The certificates of a device: none, devices of this hub have keys."""
        await self._hub.store.read(lambda db: device_of(db, collection_id, device_id))
        return JSONResponse({"certificates": []})


def _shown(db: Connection, device: Device) -> dict[str, Any]:
    newest = telemetry.inbox(db, device.id, 1, None, None)
    steps = operations.updates_under_way(db, device.collection_id, device.id)
    return shapes.device(device, firmware.latest(db, device.hardware_key), steps.get(device.id), newest[0] if newest else None)
