"""One field out of a form: multipart/form-data (RFC 7578), bounded in parts and in what stands beside the field."""

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from tools.hub.errors import Malformed

FORM_MAX = 16 * 1024  # bytes of a body beside the field that is wanted
_PARTS_MAX = 16


def is_multipart(request: Request) -> bool:
    """Whether the body is a form, or says so."""
    return request.headers.get("content-type", "").lower().startswith("multipart/")


def form_field(request: Request, body: bytes, name: str) -> bytes:
    """The content of one field of a multipart/form-data body. Raises Malformed when it is no such body or lacks the field."""
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
