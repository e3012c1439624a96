"""Reading what strangers send: bounded bodies, bounded JSON, keys from headers; and JSON as it goes out."""

import asyncio
import contextlib
import hashlib
import json
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from tools.hub.errors import Invalid, Malformed

BODY_MAX = 256 * 1024  # bytes of a JSON body
DEPTH_MAX = 32  # objects and arrays within each other
BODY_SECONDS = 30.0  # how long a body may take to arrive
UPLOAD_SECONDS = 600.0  # how long one that goes to a file may take
_BLOCK = 256 * 1024  # bytes written to a file at once


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
