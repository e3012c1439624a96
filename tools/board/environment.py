"""What a virtual board's chip finds around it and leaves as it is when it resets, and why it starts."""

import enum
import time
from dataclasses import dataclass, field

from tools.board.air import Air
from tools.board.flash import FlashImage
from tools.board.interpreter import Interpreter
from tools.board.page import Page
from tools.board.partitions import Partitions
from tools.board.profile import Profile
from tools.board.wiring import Wiring

_EPOCH_OF_CLOCK = {"esp32": 946684800, "rp2": 1609459200}  # what a chip's clock shows when the power comes: the first day of 2000, of 2021


class ResetCause(enum.IntEnum):
    """Why a chip starts; the numbers of MicroPython's ESP32 port."""

    POWER_ON = 1
    HARD_RESET = 2
    WATCHDOG = 3
    DEEP_SLEEP = 4
    SOFT_RESET = 5


@dataclass
class Kept:
    """What outlives the VM. `clock_ms` is how far the chip's clock is from this machine's; `network` the access point, or ""."""

    hard_cause: ResetCause = ResetCause.POWER_ON
    clock_ms: int = 0
    network: str = ""
    rtc_memory: str = ""
    pins: dict[str, int] = field(default_factory=dict)
    watchdog: float | None = None  # seconds, once there is one
    fed: float = 0.0
    started: float = 0.0  # when the chip last started, by time.monotonic()
    sleep: float | None = None  # seconds of deep sleep; inf: until the power goes
    typed: bytes = b""  # what the client has sent and nobody has read
    raw_repl: bool = False
    running: str | None = None  # the partition that the bootloader has started

    def start(self, cause: ResetCause, profile: Profile, partitions: Partitions) -> None:
        """What a start for this reason does to it."""
        if cause is not ResetCause.SOFT_RESET:
            self.hard_cause = cause
            self.started = time.monotonic()
            self.watchdog = None
            self.network = ""
            self.typed = b""
            self.raw_repl = False
            self.pins.clear()
            self.running = partitions.boot()
            if profile.is_chip and (cause is ResetCause.POWER_ON or profile.port == "rp2"):
                self.clock_ms = int((_EPOCH_OF_CLOCK[profile.port] - time.time()) * 1000)
        if cause is ResetCause.POWER_ON:
            self.rtc_memory = ""
        self.sleep = None

    def reset_cause(self, cause: ResetCause, port: str) -> int:
        """What machine.reset_cause() says: an RP2 knows power and watchdog only, and its own resets are made by the watchdog."""
        if port != "rp2":
            return int(cause)
        return 1 if self.hard_cause is ResetCause.POWER_ON else 3


class Environment:
    """What is around the chip's program and stays when it resets: MicroPython, flash, pins and network. One for each board."""

    def __init__(self, interpreter: Interpreter, image: FlashImage, profile: Profile, wired: Wiring) -> None:
        self.interpreter = interpreter
        self.image = image
        self.wired = wired
        self.profile = profile
        self.partitions = Partitions(image.path.with_suffix(".partitions"), profile)
        self.page = Page(image.path.with_suffix(".page"))
        self.air = Air()
        self.kept = Kept()

    def close(self) -> None:
        """The board is off: its network and its page go."""
        self.air.close()
        self.page.close()
