"""Packages of Debian for the bench: fetched through the apt of this machine as it is configured, unpacked below build/, never installed.

It needs no rights of root: apt gets lists, caches and a status of its own.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.paths import BUILD

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SYSTEM_STATUS = Path("/var/lib/dpkg/status")
_PATIENCE = 300  # seconds for one call of apt


class AptError(RuntimeError):
    """The packages cannot be had here; the text says why and ends with what apt said."""


class Apt:
    """One release of Debian on one architecture, with its own lists under build/apt.

    `release` such as "trixie", None for the machine's own. `architecture` such as "i386", None for the machine's own. What is
    installed on the machine counts as there when both are its own, and is not fetched then.
    """

    def __init__(self, release: str | None = None, architecture: str | None = None) -> None:
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise AptError(f"there is no {program} on this machine: it is not a Debian or a relative of it")
        own_release, archive = _archive()
        self._architecture = architecture or _run(["dpkg", "--print-architecture"]).strip()
        release = release or own_release
        self._folder = BUILD / "apt" / f"{release}-{self._architecture}"
        for part in ("lists/partial", "cache/archives/partial", "sources.d"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        self._source = f"{archive} {release} main"
        status = _SYSTEM_STATUS
        if release != own_release or architecture is not None:
            status = self._folder / "status"
            status.touch()
        self._options = [
            f"Dir::Etc::sourcelist={self._folder}/sources.list",
            f"Dir::Etc::sourceparts={self._folder}/sources.d",
            f"Dir::State::lists={self._folder}/lists",
            f"Dir::State::status={status}",
            f"Dir::Cache={self._folder}/cache",
            f"APT::Architecture={self._architecture}",
            f"APT::Architectures={self._architecture}",
            "APT::Sandbox::User=",  # root's apt would give up its rights, and with them those to these folders
            "Debug::NoLocking=1",  # the lock of the system's apt is not ours
            "Acquire::Languages=none",
        ]

    def unpack(self, packages: Sequence[str], target: Path) -> None:
        """Fetch the packages with all that they depend on and unpack them below `target`, which is made anew. Raises AptError."""
        self._update("deb", "Packages")
        archives = self._folder / "cache" / "archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        self._apt("install", "--no-install-recommends", "-y", "--download-only", *packages)
        _forget(target)
        draft = target.with_name(target.name + ".new")
        _forget(draft)
        draft.mkdir(parents=True)
        for package in sorted(archives.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(draft)])
            package.unlink()
        draft.rename(target)

    def source(self, package: str, target: Path) -> None:
        """Fetch the source of a package and unpack what its authors released into `target`, which is made anew. Raises AptError."""
        self._update("deb-src", "Sources")
        _forget(target)
        target.mkdir(parents=True)
        self._apt("source", "--download-only", package, folder=target)
        found = sorted(target.glob("*.orig.tar.*"))
        if not found:
            raise AptError(f"the source package {package} has no .orig.tar file")
        _run(["tar", "-xf", str(found[0]), "-C", str(target), "--strip-components", "1"])

    def forget(self) -> None:
        """Remove the lists and caches: tens of megabytes that are of no use afterwards."""
        _forget(self._folder)

    def _update(self, kind: str, lists: str) -> None:
        signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
        (self._folder / "sources.list").write_text(f"{kind} {signed}{self._source}\n")
        said = self._apt("update")
        # apt says "W:" and exits with 0 when an archive does not answer
        if not any((self._folder / "lists").glob(f"*_{lists}*")):
            raise AptError(f"apt could not fetch the lists of {self._folder.name}:\n{_last_lines(said)}")

    def _apt(self, *arguments: str, folder: Path | None = None) -> str:
        options = [word for option in self._options for word in ("-o", option)]
        return _run(["apt-get", "-q", *options, *arguments], folder)


def _archive() -> tuple[str, str]:
    # (this machine's release, base URI of its archive), from what apt is configured with
    form = "$(RELEASE) $(REPO_URI) $(COMPONENT)"
    lines = _run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines()
    for line in lines:
        release, _, rest = line.partition(" ")
        uri, _, component = rest.partition(" ")
        # updates and security come as suites of their own
        if component == "main" and release and "-" not in release and "debian" in uri:
            return release, uri
    raise AptError("apt on this machine is configured with no archive of Debian" + ("" if lines else ", or has never run `apt-get update`"))


def _run(command: list[str], folder: Path | None = None) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise AptError(f"{command[0]} took longer than {_PATIENCE} s") from None
    if ran.returncode:
        raise AptError(f"{command[0]} failed:\n{_last_lines(ran.stdout + ran.stderr)}")
    return ran.stdout + ran.stderr


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-5:])


def _forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
