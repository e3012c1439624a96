"""Flash wear of a simulated day, on the MicroPython VM: `wear_day.run({...})` prints one line of JSON."""

import json
import os

import vfs
from flash_device import FlashDevice
from redpoll import log
from redpoll.clock import Clock
from redpoll.flash.record import Record
from redpoll.flash.spool import Spool
from spool_drain import drain

_ROUND_TRIP = 200  # ms until an acknowledgement comes


class Ticks:
    """A clock that the day turns."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


def run(case: "dict[str, int]") -> None:
    """`case`: blocks, progsize, used (bytes that never change), every (s), size (bytes), hold (s), days; a day: outage (s), boots."""
    log.print = lambda *_: None
    device = FlashDevice(case["blocks"])
    vfs.VfsLfs2.mkfs(device, progsize=case["progsize"])
    vfs.mount(vfs.VfsLfs2(device, progsize=case["progsize"]), "/flash")
    os.chdir("/flash")
    with open("application", "wb") as file:
        for _ in range(case["used"] // 4096):
            file.write(bytes(4096))
    free = os.statvfs("")[3]
    before = list(device.erased)
    programs, programmed = device.programs, device.programmed_bytes
    for day in range(case["days"]):
        for boot in range(case["boots"]):
            _boot(case, day, boot)
    erased = [device.erased[n] - before[n] for n in range(len(before))]
    print(
        json.dumps(
            {
                "erases": sum(erased),
                "worst": max(erased),
                "free": free,
                "programs": device.programs - programs,
                "programmed": device.programmed_bytes - programmed,
            }
        )
    )


def _boot(case: "dict[str, int]", day: int, boot: int) -> None:
    ticks = Ticks()
    spool = Spool(8192, "spool", 131072, case["hold"] * 1000, Clock(ticks, lambda: 1628063144122))
    seconds = 86400 // case["boots"]
    body = b"x" * case["size"]
    # the outage lies in the middle of the first boot of the day
    down = (seconds // 2, seconds // 2 + (case["outage"] if boot == 0 else 0))
    # what a board saves besides: its boot count, the configuration once a day
    Record("health").save({"boots": day * case["boots"] + boot})
    if boot == 0:
        Record("config").save({"version": day, "values": "x" * 200})
    for second in range(0, seconds, case["every"]):
        ticks.ms = second * 1000
        spool.append(ticks.ms, body)
        spool.poll()
        if down[0] <= second < down[1]:
            continue
        ticks.ms += _ROUND_TRIP
        drain(spool)
