"""Reading what strangers send, and sending files: bounded bodies, bounded JSON, forms, keys from headers, ranges."""

import asyncio
import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

from tools.hub.errors import Invalid, Malformed

BODY_MAX = 256 * 1024  # bytes of a JSON body
DEPTH_MAX = 32  # objects and arrays within each other
BODY_SECONDS = 30.0  # how long a body may take to arrive
UPLOAD_SECONDS = 600.0  # how long one that goes to a file may take
FORM_MAX = 16 * 1024  # bytes of a multipart body beside the field that is wanted
_PARTS_MAX = 16  # of a multipart body
_BLOCK = 256 * 1024  # bytes written to a file at once
_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))\s*", re.ASCII | re.IGNORECASE)


async def read_body(request: Request, limit: int = BODY_MAX) -> bytes:
    """The whole body. Raises Invalid when it is larger than the limit and Malformed when it does not arrive in time."""
    body = bytearray()
    async with _arriving(BODY_SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise Invalid(f"The body is larger than {limit} bytes")
    return bytes(body)


async def save_body(request: Request, path: Path, limit: int) -> tuple[int, str]:
    """Write the body to a new file as it comes; returns how many bytes it has and their SHA-256 in hex. Raises as `read_body`, and OSError.

    Where it raises, what has come is left for the caller to remove.
    """
    sum_, length, waiting = hashlib.sha256(), 0, bytearray()
    with path.open("xb") as file:

        def write() -> None:
            file.write(waiting)
            sum_.update(waiting)

        async with _arriving(UPLOAD_SECONDS):
            async for chunk in request.stream():
                waiting += chunk
                length += len(chunk)
                if length > limit:
                    raise Invalid(f"The body is larger than {limit} bytes")
                if len(waiting) >= _BLOCK:
                    await asyncio.to_thread(write)
                    waiting.clear()
        await asyncio.to_thread(write)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return length, sum_.hexdigest()


@contextlib.asynccontextmanager
async def _arriving(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Malformed(f"The body did not arrive within {seconds:g} s") from None
    except ClientDisconnect:
        raise Malformed("The body broke off") from None


def is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/")


def form_field(request: Request, body: bytes, name: str) -> bytes:
    """The content of one field of a multipart/form-data body (RFC 7578). Raises Malformed when it is no such body or lacks the field."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Malformed("The body must be multipart/form-data with a boundary, or raw")
    reading = _Form(name.encode())
    try:
        parser = MultipartParser(options[b"boundary"], reading.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Malformed("The body is not valid multipart/form-data") from None
    if reading.found is None or not reading.ended:
        raise Malformed(f"The form has no field {name!r}")
    return bytes(reading.found)


class _Form:
    """Collects the first field of one name."""

    def __init__(self, wanted: bytes) -> None:
        self.found: bytearray | None = None
        self.ended = False
        self._wanted = wanted
        self._parts = 0
        self._mine = False
        self._field = self._value = b""
        self._disposition = b""

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._part_begin,
            "on_part_data": self._part_data,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise Malformed(f"The form has more than {_PARTS_MAX} fields")
        self._mine, self._disposition = False, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        if options.get(b"name") == self._wanted and self.found is None:
            self.found, self._mine = bytearray(), True

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._mine and self.found is not None:
            self.found += data[start:end]

    def _end(self) -> None:
        self.ended = True


async def read_object(request: Request, limit: int = BODY_MAX) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object."""
    body = await read_body(request, limit)
    return decode_object(body) if body else {}


def decode_object(body: bytes) -> dict[str, Any]:
    """A JSON object out of bytes. Raises Malformed for anything else, for NaN, for nesting deeper than DEPTH_MAX and for text that
    no database takes (lone surrogates, NUL)."""
    value = decode(body)
    if not isinstance(value, dict):
        raise Malformed("The body must be a JSON object")
    return value


def decode(body: bytes) -> Any:
    """Any JSON value out of bytes, with the same limits."""
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Malformed("The body is not valid JSON") from None
    _check(value)
    return value


def authorization(request: Request) -> str:
    """The key in the Authorization header, as the vendor's devices send it: bare, no scheme (reference xyte §1)."""
    return request.headers.get("authorization", "")


class FileAnswer(FileResponse):
    """The bytes of a file, or of the range that is asked for (RFC 9110 §14). Give it the file's stat_result.

    A Range that is none, or names several ranges, is passed over; one that lies behind the end is refused in JSON.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope).get("range")
        size = 0 if self.stat_result is None else self.stat_result.st_size
        start = range_start(asked, size)
        if asked is not None and start is None:
            headers = MutableHeaders(raw=list(scope["headers"]))
            del headers["range"]
            scope = {**scope, "headers": headers.raw}
        elif start is not None and start >= size and self._would_be_used(scope):
            refusal = JSONResponse({"error": f"The file has {size} bytes"}, 416, {"content-range": f"bytes */{size}"})
            await refusal(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def _would_be_used(self, scope: Scope) -> bool:
        condition = Headers(scope=scope).get("if-range")
        return condition is None or condition in (self.headers.get("etag"), self.headers.get("last-modified"))


def range_start(asked: str | None, size: int) -> int | None:
    """Where the one range that a Range header names begins; None when there is no header, or none that is followed."""
    match = _RANGE.fullmatch(asked) if asked is not None else None
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        return None
    if match[3] is None:
        return int(match[1])
    return size if int(match[3]) == 0 else max(0, size - int(match[3]))


def encoded(value: Any) -> bytes:
    """JSON as it goes out."""
    return json.dumps(value, separators=(",", ":")).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any) -> None:
    """Walk without recursion, so that the depth of the input is not the depth of our stack."""
    level = [value]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise Malformed("The JSON holds a number that is too large")
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, dict):
                for name in item:
                    _check_text(name)
                below.extend(item.values())
        if not below:
            return
        level = below
    raise Malformed(f"The JSON is nested deeper than {DEPTH_MAX} levels")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise Malformed("The JSON holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed("The JSON holds half a surrogate pair") from None
