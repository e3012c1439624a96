"""The bundle as bytes: packed, signed, read again and verified. The format is in tools/bundle/__init__.py."""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
IMAGE = "firmware.bin"  # where this is the only file, it is a firmware image
FILES_MAX = 200
MANIFEST_MAX = 16 * 1024
NAME_MAX = 100
SIZE_MAX = 32 * 1024 * 1024  # bytes of a whole bundle; no board has more flash
WINDOW = 10
STORED, DEFLATED = 0, 8

_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_SEMVER = r"^\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$"
_WORD = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Count = Annotated[int, Field(ge=0, le=SIZE_MAX)]
# what is meant where a pattern is not matched
_MEANT = {
    "version": "three numbers such as 1.2.0, or 1.2.0-rc.1 (SemVer 2.0.0)",
    "micropython": "three numbers such as 1.24.0",
    "sha256": "64 hexadecimal digits in lower case",
}
_WORD_MEANT = "1 to 64 letters, digits, '.', '_' and '-'"

# APPNOTE.TXT 6.3.10: §4.3.7 local file header, §4.3.12 central directory header, §4.3.16 end of central directory record
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_EPOCH = (0, 0x21)  # 1980-01-01 00:00:00 as MS-DOS time and date
_MADE_BY = 3 << 8 | 20  # Unix, so that unpacking gives files that can be read
_MODE = 0o100644 << 16


class BundleError(ValueError):
    """It is no bundle, or not one to be trusted; the text says what is wrong."""


class Entry(BaseModel):
    """One file as the manifest has it; see tools/bundle/__init__.py."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str
    size: _Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    packed: _Count
    method: Literal[0, 8]
    offset: _Count


class Manifest(BaseModel):
    """What a bundle says of itself; see tools/bundle/__init__.py."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1] = 1
    name: _WORD
    version: Annotated[str, Field(pattern=_SEMVER, max_length=64)]
    boards: Annotated[list[_WORD], Field(max_length=16)]
    micropython: Annotated[str, Field(pattern=r"^\d{1,3}\.\d{1,3}\.\d{1,3}$")]
    mpy: Annotated[int, Field(ge=0, le=255)]
    window: Annotated[int, Field(ge=9, le=15)]
    size: _Count
    files: Annotated[list[Entry], Field(min_length=1, max_length=FILES_MAX)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_names(entry.name for entry in self.files)
        at = 0
        for entry in self.files:
            at += _LOCAL.size + len(entry.name)
            if entry.offset != at:
                raise ValueError(f"{entry.name}: it begins at {at}, the manifest says {entry.offset}")
            if entry.method == STORED and entry.packed != entry.size:
                raise ValueError(f"{entry.name}: it is stored, but its two sizes differ")
            at += entry.packed
        if self.size != sum(entry.size for entry in self.files):
            raise ValueError("size is not the sum of the files' sizes")
        return self

    @property
    def is_image(self) -> bool:
        """Whether it is one firmware image for an application partition of an ESP32, and not an application's files."""
        return [entry.name for entry in self.files] == [IMAGE]

    def encoded(self) -> bytes:
        """The bytes that are signed. Raises BundleError when they are too many."""
        data = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":")).encode()
        if len(data) > MANIFEST_MAX:
            raise BundleError(
                f"the manifest of {len(self.files)} files has {len(data)} bytes, {MANIFEST_MAX} are allowed: take fewer files"
            )
        return data

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Raises BundleError."""
        if len(data) > MANIFEST_MAX:
            raise BundleError(f"{MANIFEST}: {len(data)} bytes, {MANIFEST_MAX} are allowed")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BundleError(f"{MANIFEST}: {_told(error)}") from None


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read: its structure is sound. Who signed it only `verify` says."""

    manifest: Manifest
    signed: bytes  # manifest.json, as it stands there
    signature: bytes
    packed: Mapping[str, bytes]

    def content(self, name: str) -> bytes:
        """The file's content. Raises BundleError when it is not what the manifest says."""
        entry = next(entry for entry in self.manifest.files if entry.name == name)
        data = self.packed[name]
        if entry.method == DEFLATED:
            stream = zlib.decompressobj(-self.manifest.window)
            try:
                data = stream.decompress(data, entry.size + 1)
            except zlib.error as error:
                raise BundleError(f"{name}: {error}") from None
            if not stream.eof or stream.unused_data:
                raise BundleError(f"{name}: its deflate stream does not end where the file does")
        if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleError(f"{name}: its size or SHA-256 is not the manifest's")
        return data


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that a bundle may not have, and for two that are one where case is ignored."""
    seen: set[str] = set()
    for name in names:
        if len(name) > NAME_MAX or not _NAME.fullmatch(name) or not {".", ".."}.isdisjoint(name.split("/")):
            raise ValueError(f"{name[:120]!r}: a name is a relative path of A-Z, a-z, 0-9, '.', '_', '-' and '/', at most {NAME_MAX} bytes")
        folded = name.lower()
        if folded in seen or folded in (MANIFEST, SIGNATURE):
            raise ValueError(f"{name}: there is another file of this name; upper and lower case are one")
        seen.add(folded)
    for name in seen:
        folder = name.rpartition("/")[0]
        while folder:
            if folder in seen or folder in (MANIFEST, SIGNATURE):
                raise ValueError(f"{name}: {folder} is a file, not a folder")
            folder = folder.rpartition("/")[0]


def check_amount(sizes: Mapping[str, int]) -> None:
    """Raises BundleError when files of these sizes are more than a bundle may have."""
    if len(sizes) > FILES_MAX:
        raise BundleError(f"{len(sizes)} files: a bundle has at most {FILES_MAX}")
    if (size := sum(sizes.values())) > SIZE_MAX:
        largest = max(sizes, key=lambda name: sizes[name])
        raise BundleError(f"{size:,} bytes, {sizes[largest]:,} of them in {largest}: a bundle has at most {SIZE_MAX:,}")


def pack(
    files: Mapping[str, bytes],
    key: rsa.RSAPrivateKey,
    *,
    name: str,
    version: str,
    boards: list[str],
    micropython: str,
    mpy: int,
    window: int = WINDOW,
) -> bytes:
    """A signed bundle of these contents by their names; the same input gives the same bytes. Raises BundleError."""
    if not files:
        raise BundleError("a bundle needs a file")
    check_amount({path: len(content) for path, content in files.items()})
    if not 9 <= window <= 15:
        raise BundleError(f"window {window}: it may be 9 to 15")
    packed, methods = {}, {}
    for path in sorted(files):
        deflated = _deflated(files[path], window)
        smaller = len(deflated) < len(files[path])
        packed[path], methods[path] = (deflated, DEFLATED) if smaller else (files[path], STORED)
    about = {"name": name, "version": version, "boards": sorted(boards), "micropython": micropython, "mpy": mpy, "window": window}
    manifest = _manifest(files, packed, methods, about)
    signed = manifest.encoded()
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    made = _assembled(manifest, signed, signature, packed, [zlib.crc32(files[path]) for path in sorted(files)])
    if len(made) > SIZE_MAX:
        raise BundleError(f"{len(made)} bytes: a bundle has at most {SIZE_MAX}")
    return made


def manifest_of(files: Mapping[str, bytes], *, name: str, version: str, boards: list[str], micropython: str, mpy: int) -> Manifest:
    """What the manifest says of these contents when none is deflated: for a slot that is filled without a bundle. Raises BundleError."""
    about = {"name": name, "version": version, "boards": sorted(boards), "micropython": micropython, "mpy": mpy, "window": WINDOW}
    return _manifest(files, files, dict.fromkeys(files, STORED), about)


def read(data: bytes) -> Bundle:
    """Take a bundle apart and check all of it but the signature. Raises BundleError."""
    if len(data) > SIZE_MAX:
        raise BundleError(f"{len(data)} bytes: a bundle has at most {SIZE_MAX}")
    signed, at = _stored(data, 0, MANIFEST, MANIFEST_MAX)
    signature, base = _stored(data, at, SIGNATURE, 512)
    manifest = Manifest.decoded(signed)
    packed = {}
    for entry in manifest.files:
        packed[entry.name] = data[base + entry.offset : base + entry.offset + entry.packed]
    bundle = Bundle(manifest, signed, signature, packed)
    sums = [zlib.crc32(bundle.content(entry.name)) for entry in manifest.files]
    # every other byte follows from what was just read: headers and central directory that disagree show here
    if data != _assembled(manifest, signed, signature, packed, sums):
        raise BundleError("the ZIP's headers or its central directory do not agree with the manifest, or there is more than the files")
    return bundle


def verify(bundle: Bundle, key: rsa.RSAPublicKey) -> None:
    """Raises BundleError unless the manifest was signed with the private half of this key."""
    try:
        key.verify(bundle.signature, bundle.signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise BundleError(f"{SIGNATURE}: the manifest was not signed with this key, or was changed afterwards") from None


def _manifest(files: Mapping[str, bytes], packed: Mapping[str, bytes], methods: Mapping[str, int], about: dict[str, Any]) -> Manifest:
    entries, at = [], 0
    for path in sorted(files):
        content, data = files[path], packed[path]
        at += _LOCAL.size + len(path)
        digest = hashlib.sha256(content).hexdigest()
        entry = {"name": path, "size": len(content), "sha256": digest, "packed": len(data), "method": methods[path], "offset": at}
        entries.append(entry)
        at += len(data)
    try:
        return Manifest.model_validate({**about, "size": sum(map(len, files.values())), "files": entries})
    except ValidationError as error:
        raise BundleError(_told(error)) from None


def _deflated(content: bytes, window: int) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -window, 9)
    return stream.compress(content) + stream.flush()


def _stored(data: bytes, at: int, name: str, limit: int) -> tuple[bytes, int]:
    """The content of the stored entry that begins here, and where it ends."""
    end = at + _LOCAL.size + len(name)
    if len(data) < end or data[at : at + 4] != b"PK\3\4" or data[end - len(name) : end] != name.encode():
        raise BundleError(f"the {'first' if at == 0 else 'second'} entry is not {name}")
    size = int.from_bytes(data[at + 18 : at + 22], "little")
    if size > limit or len(data) < end + size:
        raise BundleError(f"{name}: {size} bytes, {limit} are allowed, or the bundle is cut off")
    return data[end : end + size], end + size


def _assembled(manifest: Manifest, signed: bytes, signature: bytes, packed: Mapping[str, bytes], sums: list[int]) -> bytes:
    rows = [(name, STORED, zlib.crc32(data), len(data), data) for name, data in ((MANIFEST, signed), (SIGNATURE, signature))]
    for entry, crc in zip(manifest.files, sums, strict=True):
        rows.append((entry.name, entry.method, crc, entry.size, packed[entry.name]))
    local, central = bytearray(), bytearray()
    for name, method, crc, size, data in rows:
        needed = 20 if method == DEFLATED else 10
        shared = (needed, 0, method, *_EPOCH, crc, len(data), size, len(name), 0)
        central += _CENTRAL.pack(b"PK\1\2", _MADE_BY, *shared, 0, 0, 0, _MODE, len(local)) + name.encode()
        local += _LOCAL.pack(b"PK\3\4", *shared) + name.encode() + data
    end = _END.pack(b"PK\5\6", 0, 0, len(rows), len(rows), len(central), len(local), 0)
    return bytes(local + central + end)


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "string_pattern_mismatch":
        return f"{where}: it is {_MEANT.get(str(first['loc'][-1]), _WORD_MEANT)}, not {first['input']!r}"
    return f"{where}: {first['msg']}" if where else str(first["msg"]).removeprefix("Value error, ")
