"""What a board fetches of a bundle when it has other files already: only what differs (DESIGN §3, update)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from tools.bundle.archive import Entry, Manifest


@dataclass(frozen=True)
class Plan:
    """The files of a bundle by what becomes of them on one board."""

    fetched: list[Entry]
    copied: list[Entry]  # the running slot has the same content under the same name
    gone: list[str]  # what the running slot has and the new one will not

    @property
    def fetched_bytes(self) -> int:
        """Bytes over the network, without manifest and signature."""
        return sum(entry.packed for entry in self.fetched)


def plan(manifest: Manifest, running: Mapping[str, str]) -> Plan:
    """`running`: name -> SHA-256 (hex) of the files that the board runs now."""
    fetched = [entry for entry in manifest.files if running.get(entry.name) != entry.sha256]
    copied = [entry for entry in manifest.files if running.get(entry.name) == entry.sha256]
    names = {entry.name for entry in manifest.files}
    return Plan(fetched, copied, sorted(name for name in running if name not in names))


def of_manifest(manifest: Manifest) -> dict[str, str]:
    """Name -> SHA-256 of a bundle's files."""
    return {entry.name: entry.sha256 for entry in manifest.files}


def of_contents(files: Mapping[str, bytes]) -> dict[str, str]:
    """Name -> SHA-256 of these contents."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
