"""A store of the hub without the hub around it, with a clock that tests move."""

import asyncio
from collections.abc import Awaitable, Callable

from tools.hub.domain import devices
from tools.hub.store.store import Store


class StoreBench:
    """`store`, which is open while `run` runs; `now` is its clock, `told` the events of all that was done."""

    def __init__(self, url: str) -> None:
        self.now = 1_795_262_400.0
        self.told: list[str] = []
        self.store = Store(url, lambda unit: self.told.extend(item.event for item in unit.activities), clock=lambda: self.now)

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def opened() -> None:
            self.store.open()
            try:
                await scenario()
            finally:
                await self.store.close()

        asyncio.run(opened())

    async def device(self, sn: str = "1") -> str:
        """Register a device -> its id."""
        body = {"sn": sn, "mac": "aa:bb", "hardware_key": "k", "firmware_version": "1.0.0"}
        return (await self.store.write(lambda unit: devices.register(unit, body))).id
