"""Files as answers: whole, or the one range that is asked for (RFC 9110 §14)."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))\s*", re.ASCII | re.IGNORECASE)


class FileAnswer(FileResponse):
    """The bytes of a file, or of the range that is asked for. Give it the file's stat_result.

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
