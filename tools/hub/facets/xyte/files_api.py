"""The Xyte facet's files and dumps (reference xyte §2; dev.xyte.io ref/get-file).

A file's `url` is at the hub itself: `.../files/{file_id}/content`, open to the device's own `Authorization` and, as with the vendor's
storage, to a signature in the query that is good for 24 hours (links.py), so that a downloader need not have the key. A command's `url` is
signed when the command is handed out. One range at a time is served. `checksum` is the file's SHA-256 in hexadecimal, unless the operator
gave another; `signature` is the operator's.

The vendor's sample agent asks for JSON at that address too (reference xyte §5) and fails on a file that is not, with the vendor's own
storage as here; what the hub refuses is JSON. Where neither key nor signature is good the answer is 401, never 403.

Dumps come as the raw body, or as the field `data` of a form; their type and name are those of the path.
"""

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from tools.hub.domain import dumps, files, firmware, presence
from tools.hub.domain.model import Device, find_device
from tools.hub.errors import Invalid, NotFound, Refused
from tools.hub.facets.file_answer import FileAnswer, range_start
from tools.hub.facets.upstream import Upstream
from tools.hub.facets.xyte import shapes
from tools.hub.facets.xyte.calls import Calls
from tools.hub.hub import Hub
from tools.hub.store.unit import Unit

_BEGUN_MAX = 10_000  # links


def add_routes(api: APIRouter, hub: Hub) -> None:
    """What a device calls for files and dumps."""
    facet = FilesFacet(hub)
    api.add_api_route("/{device_id}/files", facet.get_files, methods=["GET"])
    api.add_api_route("/{device_id}/files/{file_id}", facet.get_file, methods=["GET"])
    api.add_api_route("/{device_id}/files/{file_id}/content", facet.get_content, methods=["GET"], response_class=Response)
    api.add_api_route("/{device_id}/files/{file_id}/content", facet.get_content, methods=["HEAD"], include_in_schema=False)
    api.add_api_route("/{device_id}/dumps/{dump_id}", facet.append_dump, methods=["PUT"])
    api.add_api_route("/{device_id}/dumps/{name:path}", facet.send_dump, methods=["POST"])


class FilesFacet(Calls):
    """One method per call."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._begun: dict[tuple[str, str, str], None] = {}  # device, file and end of the links whose file was begun, the oldest first

    async def get_files(self, device_id: str, request: Request) -> JSONResponse:
        """Get Files: those of the device's model and those of every model, oldest first."""

        def handle(unit: Unit, device: Device) -> list[dict[str, Any]]:
            return [self._file(request, device, file, unit.now) for file in files.list_for(unit.db, device)]

        return await self._give(device_id, request, "", handle, speaks=False)

    async def get_file(self, device_id: str, file_id: str, request: Request) -> JSONResponse:
        """Get File; 404 for one of another model."""

        def handle(unit: Unit, device: Device) -> dict[str, Any]:
            return self._file(request, device, _held(unit, device, file_id), unit.now)

        return await self._give(device_id, request, "", handle, speaks=False)

    async def get_content(self, device_id: str, file_id: str, request: Request) -> Response:
        """The bytes of a file, or a range of them: with the device's key in `Authorization`, or with `until` and `signature`."""
        asked = request.headers.get("range")

        def work(unit: Unit) -> tuple[files.File, os.stat_result]:
            try:
                device = self._enter_by_link(unit, device_id, file_id, request)
            except Refused as refused:
                Upstream(device_id, "http", "query", 0).refused(self._hub, unit, None, refused)
                raise
            file = _held(unit, device, file_id)
            try:
                found = stat(files.path_of(self._hub.settings.data, file.id))
            except Refused as refused:
                firmware.missed(unit, device, file_id, refused)
                raise
            if request.method == "GET" and not range_start(asked, file.length) and self._begins(request, device_id, file_id):
                firmware.fetched(unit, device, file)
            return file, found

        file, found = await self._hub.do(work)
        return answer(files.path_of(self._hub.settings.data, file.id), found, file.name, file.sha256)

    async def send_dump(self, device_id: str, name: str, request: Request) -> JSONResponse:
        """Send Dump: POST /dumps/{mime%2Ftype}/{filename}, raw or as a form's field `data`."""

        made = str(uuid.uuid4())

        def keep(unit: Unit, device: Device, body: bytes) -> dict[str, Any]:
            mime, filename = _dump_name(request, name)
            _check_size(body)
            dump = dumps.Dump(made, mime, filename, len(body))
            dumps.keep(unit, device, dump, self._hub.settings.data, body)
            return {"id": dump.id, "length": dump.length}

        try:
            return await self._take_bytes(device_id, request, "dump", keep, field="data", limit=dumps.SIZE_MAX, status=201)
        except Exception:
            await self._hub.settle_dump(made)
            raise

    async def append_dump(self, device_id: str, dump_id: str, request: Request) -> JSONResponse:
        """Append to a dump, raw or as a form's field `data`."""

        def append(unit: Unit, device: Device, body: bytes) -> dict[str, Any]:
            return {"id": dump_id, "length": dumps.append(unit, device, dump_id, self._hub.settings.data, body)}

        return await self._take_bytes(device_id, request, "dump", append, field="data", limit=dumps.SIZE_MAX, status=200)

    def _file(self, request: Request, device: Device, file: files.File, now: float) -> dict[str, Any]:
        return shapes.file(file, self._link(request, device.id, file.id, now))

    def _begins(self, request: Request, device_id: str, file_id: str) -> bool:
        """Whether a fetch begins. A board comes back to the beginning by the same link: it reads a bundle's manifest twice."""
        until = request.query_params.get("until")
        if until is None or "range" not in request.headers:
            return True
        link = device_id, file_id, until[:16]
        first = link not in self._begun
        self._begun[link] = None
        if len(self._begun) > _BEGUN_MAX:
            del self._begun[next(iter(self._begun))]
        return first

    def _enter_by_link(self, unit: Unit, device_id: str, file_id: str, request: Request) -> Device:
        """Who fetches, by a link or by the key. Raises NotAuthorized and TooMany."""
        until, signature = request.query_params.get("until"), request.query_params.get("signature")
        if self._hub.links.holds(device_id, file_id, until, signature, unit.now):
            device = find_device(unit.db, device_id)
            if device is not None:
                return self._seen(unit, device, speaks=False, proof=presence.LINK)
        return self._enter(unit, device_id, request, speaks=False)


def stat(path: Path) -> os.stat_result:
    """Of the file. Raises NotFound."""
    try:
        return path.stat()
    except OSError:
        raise NotFound("The hub does not have the bytes of this file") from None


def answer(path: Path, found: os.stat_result, name: str, sha256: str | None = None) -> Response:
    """The bytes, whole or a range; `sha256` of those that never change."""
    headers = {"x-content-type-options": "nosniff", "cache-control": "private"}
    if sha256 is not None:
        headers["etag"] = f'"{sha256}"'
    return FileAnswer(path, stat_result=found, headers=headers, media_type="application/octet-stream", filename=name)


def _held(unit: Unit, device: Device, file_id: str) -> files.File:
    """The file, if the device may have it. Raises NotFound, and tells when that was the model's latest firmware."""
    try:
        return files.get_for(unit.db, device, file_id)
    except NotFound as refused:
        firmware.missed(unit, device, file_id, refused)
        raise


def _check_size(body: bytes) -> None:
    if len(body) > dumps.SIZE_MAX:
        raise Invalid(f"A dump is at most {dumps.SIZE_MAX} bytes")


def _dump_name(request: Request, name: str) -> tuple[str, str]:
    """Type and file name out of the path as it was sent: the slash of the type is escaped there, and no longer is in `name`."""
    raw = request.scope.get("raw_path", b"").decode("latin-1").split("/dumps/", 1)[-1].split("?")[0]
    parts = raw.split("/") if raw else name.split("/")
    if len(parts) == 3:  # a client that does not escape the slash
        parts = [f"{parts[0]}/{parts[1]}", parts[2]]
    return dumps.check_name(*(unquote(part) for part in parts)) if len(parts) == 2 else dumps.check_name("", "")
