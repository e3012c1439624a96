"""Put a product into the idle slot of a board and have it boot, so that a cut at any point leaves what ran before."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from tools.deploy.connection import Connection
from tools.deploy.errors import DeployError, Status
from tools.deploy.product import Product
from tools.deploy.remote import RemoteBoard
from tools.deploy.slots import MANIFEST, SEAL, RemoteSlots, slots_of

BOOT = "/boot.py"
FIRST_LINE = re.compile(r"\] Redpoll \S+ on \S")
# what is said before the first line of an agent that is not the product's
_INSTEAD = (
    (re.compile(r"^boot: safe mode"), "ten starts in a row went wrong and the agent runs without it (safe mode)"),
    (re.compile(r"\] warning: update: slot [ab] was rolled back"), "its starts went wrong and the board has gone back to what it ran"),
)
_LINES_SHOWN = 20
_ROOT = ("/redpoll", "/lib")  # what lies there may be copied
_PROMPT = re.compile(r"^(>>> ?)?MicroPython \S+ on .*; |^>>> ?$")
_ENDING = 0.5  # seconds in which a program that has ended still says why
_INLINE = 256  # LittleFS keeps files of about this size in their folder


class Progress(Protocol):
    """Who shows how it goes on."""

    def stage(self, text: str, total: int) -> None:
        """So much of this is to be done now."""

    def done(self, n: int) -> None:
        """So much more of it is."""


class Quiet:
    """Shows nothing."""

    def stage(self, text: str, total: int) -> None:
        """Nothing."""

    def done(self, n: int) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Plan:
    """What becomes of each file of the product on one board; names as in the slot, `copied` from where."""

    slot: str
    sent: list[str]
    copied: dict[str, str]
    kept: list[str]
    removed: list[str]
    boot: bool  # boot.py is another one
    current: bool  # the board runs just this

    def sent_bytes(self, product: Product) -> int:
        """Over the line, without what it takes to send it."""
        return sum(len(product.files[name]) for name in self.sent)


def put(board: RemoteBoard, product: Product, *, trial: bool = False, dry_run: bool = False, progress: Progress | None = None) -> Plan:
    """Have the product boot next, without a restart; `trial`: as after an update. Raises DeployError; what ran before then boots.

    The board's program has to have been ended with begin(); one that is on trial has to be dealt with before (no_trial).
    """
    board.begin()
    with slots_of(board) as slots:
        plan = make_plan(board, slots, product, progress)
        if plan.current and not dry_run:
            # its starts are counted anew: a board in safe mode leaves it
            slots.switch(slots.running(), trial=False)
        elif not plan.current:
            check_room(board, plan, product)
            if not dry_run:
                carry_out(board, slots, plan, product, trial=trial, progress=progress)
    return plan


def no_trial(board: RemoteBoard, force: bool, *, dry_run: bool = False) -> None:
    """Raises DeployError while a slot is on trial; with `force` the trial is given up, unless it is a dry run."""
    with slots_of(board) as slots:
        if force and slots.on_trial():
            if dry_run:
                raise DeployError(
                    "--force would give up the update that the board is trying out; the rest cannot be said before. Nothing was changed"
                )
            slots.give_up_trial()
        slots.idle()


def make_plan(board: RemoteBoard, slots: RemoteSlots, product: Product, progress: Progress | None = None) -> Plan:
    """Compare. Raises DeployError while a slot is on trial."""
    progress = progress or Quiet()
    target, running = slots.idle(), slots.running()
    wanted = product.hashes()
    folder, other = f"/slot_{target}", "/slot_b" if target == "a" else "/slot_a"
    sizes = board.files([folder, other, *_ROOT])
    ours = {path: size for path, size in sizes.items() if path.startswith(f"{folder}/")}
    own_sizes = {f"{folder}/{name}": len(data) for name, data in product.files.items()}
    there = [path for path, size in ours.items() if own_sizes.get(path) == size]
    useful = set(own_sizes.values())
    # in the root a board may have anything: bytecode is what can be ours there
    elsewhere = [path for path, size in sizes.items() if path not in ours and size in useful and not path.endswith(SEAL)]
    progress.stage("comparing", len(there) + len(elsewhere))
    found = board.hashes(there, progress.done)
    kept = [name for name in wanted if found.get(f"{folder}/{name}") == wanted[name]]
    hashes = board.hashes(elsewhere, progress.done)
    by_hash = {digest: path for path, digest in hashes.items()}
    copied = {name: by_hash[digest] for name, digest in wanted.items() if name not in kept and digest in by_hash}
    removed = [path[len(folder) + 1 :] for path in ours if path not in own_sizes]
    boot = board.digest(BOOT) != sha256(product.boot).hexdigest()
    current = (
        not boot
        and f"/slot_{running}" == other
        and all(hashes.get(f"{other}/{name}") == digest for name, digest in wanted.items())
        and {path for path in sizes if path.startswith(f"{other}/")} == {f"{other}/{name}" for name in (*wanted, MANIFEST, SEAL)}
        and board.digest(f"{other}/{MANIFEST}") == sha256(product.manifest).hexdigest()
    )
    sent = [name for name in wanted if name not in kept and name not in copied]
    return Plan(target, sent, copied, kept, [name for name in removed if name != SEAL], boot, current)


def check_room(board: RemoteBoard, plan: Plan, product: Product) -> None:
    """Raises DeployError when the product cannot fit, before anything has changed."""
    about = board.about()
    folder = f"/slot_{plan.slot}"
    there = board.files([folder])
    freed = [size for path, size in there.items() if path[len(folder) + 1 :] not in plan.kept]
    needed = _blocks([len(product.files[name]) for name in (*plan.sent, *plan.copied)] + [len(product.manifest)], about.block)
    have = about.flash_free // about.block + _blocks(freed, about.block)
    if needed > have:
        raise DeployError(
            f"the board's flash is too full: the slot needs {needed * about.block:,} bytes more, {have * about.block:,} are free. Remove "
            "files of yours (`mpremote fs ls`, `mpremote fs rm`), or make the product smaller. Nothing was changed",
            Status.FULL,
        )


def carry_out(
    board: RemoteBoard, slots: RemoteSlots, plan: Plan, product: Product, *, trial: bool = False, progress: Progress | None = None
) -> None:
    """Write the slot, verify it, seal it, switch to it. Raises DeployError; the board then still boots what it had."""
    progress = progress or Quiet()
    folder = f"/slot_{plan.slot}"
    slots.unseal(plan.slot)
    board.remove(f"{folder}/{name}" for name in (*plan.removed, *plan.sent))
    if plan.removed:
        board.prune(folder)
    with board.withdrawn_when_full(f"{folder}/{name}" for name in (*plan.copied, *plan.sent, MANIFEST)):
        progress.stage("copying on the board", len(plan.copied))
        for name, source in plan.copied.items():
            board.copy(source, f"{folder}/{name}")
            progress.done(1)
        progress.stage("sending", plan.sent_bytes(product))
        for name in plan.sent:
            board.write(f"{folder}/{name}", product.files[name], progress.done)
        board.write(f"{folder}/{MANIFEST}", product.manifest)
    _verify(board, folder, product, progress)
    if plan.boot:
        _take_over_boot(board, product.boot)
    slots.seal(plan.slot)
    slots.switch(plan.slot, trial)


def _verify(board: RemoteBoard, folder: str, product: Product, progress: Progress) -> None:
    wanted = {f"{folder}/{name}": digest for name, digest in product.hashes().items()}
    wanted[f"{folder}/{MANIFEST}"] = sha256(product.manifest).hexdigest()
    progress.stage("verifying", len(wanted))
    found = board.hashes(wanted, progress.done)
    wrong = sorted(path for path, digest in wanted.items() if found[path] != digest)
    if wrong:
        raise DeployError(
            f"{len(wrong)} files are not on the board as they were sent ({wrong[0]}): try --via ampy, which sends slower. "
            "The board goes on with what it ran",
            Status.CUT,
        )


def _take_over_boot(board: RemoteBoard, boot: bytes) -> None:
    before = board.read(BOOT)
    if before and b"redpoll" not in before and any(line.strip() and not line.lstrip().startswith(b"#") for line in before.splitlines()):
        board.replace("/boot.py.before", before)  # somebody's own
    board.replace(BOOT, boot)


def first_line(connection: Connection, seconds: float, show: Callable[[str], None] = lambda _: None) -> str:
    """What the agent says first after a restart. Raises DeployError with what the board said instead."""
    said: deque[str] = deque(maxlen=_LINES_SHOWN)
    ended = instead = None
    for line in connection.lines(seconds):
        if line.strip():
            said.append(line)
            show(line)
        instead = next((what for pattern, what in _INSTEAD if pattern.search(line)), instead)
        if FIRST_LINE.search(line):
            if instead is None:
                return line
            break
        if _PROMPT.search(line) and ended is None:
            ended = time.monotonic()
        if ended is not None and time.monotonic() - ended > _ENDING:
            break
    what = instead or ("its program has ended" if ended is not None else f"agent.run() has not begun within {seconds:g} s")
    shown = "\n".join(f"  {line}" for line in said) or "  (nothing)"
    raise DeployError(f"all is on the board, but {what}. The board said:\n{shown}", Status.SILENT)


def _blocks(sizes: Iterable[int], block: int) -> int:
    return sum(-(-size // block) for size in sizes if size > _INLINE)


def described(plan: Plan, product: Product) -> Mapping[str, str]:
    """Name -> what becomes of it, for --dry-run and for a person: "sent 1,024 bytes", "copied", "there", "removed"."""
    told = {name: f"sent, {len(product.files[name]):,} bytes" for name in plan.sent}
    told |= {name: f"copied from {source}" for name, source in plan.copied.items()}
    told |= dict.fromkeys(plan.kept, "there already")
    told |= {name: "removed" for name in plan.removed if name != MANIFEST}
    return dict(sorted(told.items()))
