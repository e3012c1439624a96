"""The flash of a virtual board: an image file, read and written through the VM while the board is off."""

import fcntl
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from tools.board.errors import BoardError
from tools.board.firmware import vm_folder
from tools.board.profile import Profile
from tools.vm import find_vm

_JOB_SECONDS = 60.0


class FlashImage:
    """An image file of the profile's size, made on first use. Beside it lies the chip's unique id, in a file with the suffix .id."""

    def __init__(self, path: Path, profile: Profile) -> None:
        self.path = path.absolute()
        self.profile = profile
        self._lock: IO[bytes] | None = None

    def create(self, *, fresh: bool = False) -> None:
        """Make the image, all erased, where there is none; with `fresh` also where there is one. Raises BoardError for a wrong size."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if fresh or not self.path.exists():
            self.acquire()
            try:
                with self.path.open("wb") as file:
                    os.fchmod(file.fileno(), 0o600)  # for its owner only: the Wi-Fi password and the access key will be on it
                    for _ in range(self.profile.flash_blocks):
                        file.write(b"\xff" * self.profile.flash_block)
            finally:
                self.release()
        size = self.path.stat().st_size
        if size != self.profile.flash_size:
            raise BoardError(
                f"{self.path.name} has {size} bytes, but the flash of the board {self.profile.name!r} has {self.profile.flash_size}; "
                "name another file, or start with --fresh to erase it"
            )

    def unique_id(self) -> str:
        """The chip's number in hex: six bytes, random when the flash was made, marked as locally given as a MAC address is."""
        path = self.path.with_suffix(".id")
        try:
            known = path.read_text().strip()
            if len(bytes.fromhex(known)) == 6:
                return known
        except (OSError, ValueError):
            pass  # a new chip
        number = bytearray(secrets.token_bytes(6))
        number[0] = number[0] & 0xFC | 0x02
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(number.hex())
        return number.hex()

    def acquire(self) -> None:
        """Keep everyone else off the image. Raises BoardError when another board has it."""
        if self._lock is not None:
            raise BoardError(f"{self.path.name} is in use by this board")
        lock = self.path.with_suffix(".lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise BoardError(f"{self.path} is in use by another board; stop it, or name another file") from None
        self._lock = lock

    def release(self) -> None:
        """Let others at the image."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def state(self) -> dict[str, Any]:
        """What the VM has to know to use the image."""
        profile = self.profile
        return {
            "flash": str(self.path),
            "block_size": profile.flash_block,
            "blocks": profile.flash_blocks,
            "program": profile.flash_program,
        }

    def install(self, files: Mapping[str, Path | bytes], managed: Iterable[str] = ()) -> int:
        """Make these files be on the flash; returns how many had to be written. In `managed` folders nothing else stays."""
        return int(self._do(put=files, prune=list(managed))["written"])

    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError."""
        path = _absolute(name)
        with tempfile.TemporaryDirectory(prefix="flash-") as folder:
            target = Path(folder).resolve() / "file"
            if self._do(get={path: target})["missing"]:
                raise FileNotFoundError(f"there is no {path} on the flash")
            return target.read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, or make it with its folders."""
        self._do(put={_absolute(name): data})

    def list(self) -> dict[str, int]:
        """Every file on the flash with its size."""
        return dict(self._do(listing=True)["files"])

    def _do(
        self,
        put: Mapping[str, Path | bytes] | None = None,
        prune: Iterable[str] = (),
        get: Mapping[str, Path] | None = None,
        listing: bool = False,
    ) -> dict[str, Any]:
        self.create()
        self.acquire()
        try:
            with tempfile.TemporaryDirectory(prefix="flash-") as name:
                folder = Path(name).resolve()
                pairs = []
                for number, (target, content) in enumerate((put or {}).items()):
                    source = content if isinstance(content, Path) else folder / f"put{number}"
                    if isinstance(content, bytes):
                        source.write_bytes(content)
                    pairs.append((str(source.absolute()), target))
                taken = [(source, str(target)) for source, target in (get or {}).items()]
                job = {**self.state(), "put": pairs, "prune": list(prune), "get": taken, "list": listing}
                (folder / "job.json").write_text(json.dumps(job))
                return self._run(folder / "job.json")
        finally:
            self.release()

    def _run(self, job: Path) -> dict[str, Any]:
        command = [str(find_vm()), "-c", f"import vm_files; vm_files.run({str(job)!r})"]
        environment = os.environ | {"MICROPYPATH": f"{vm_folder()}:.frozen"}
        try:
            ran = subprocess.run(
                command, env=environment, cwd=job.parent, stdin=subprocess.DEVNULL, capture_output=True, timeout=_JOB_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise BoardError(f"{self.path.name}: the VM did not finish with the flash within {_JOB_SECONDS:g} s") from None
        output = (ran.stdout + ran.stderr).decode(errors="replace")
        if ran.returncode:
            if "ENOSPC" in output or "OSError: 28" in output:
                raise BoardError(f"{self.path.name}: the flash of {self.profile.flash_size} bytes is full")
            raise BoardError(f"{self.path.name}: the flash could not be used:\n{output.strip()}")
        answer: dict[str, Any] = json.loads(ran.stdout.decode().strip().rpartition("\n")[2])
        return answer


def _absolute(name: str) -> str:
    return name if name.startswith("/") else f"/{name}"
