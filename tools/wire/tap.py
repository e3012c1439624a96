"""A proxy in front of the hub's HTTP side that shows each request and its answer."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tools.wire.message import decoded
from tools.wire.seen import Seen

_HEADERS = ("authorization", "idempotency-key", "range", "content-range")


class Tap:
    """It listens at `url` while it is entered, and passes everything on to `target`."""

    def __init__(self, target: str, seen: Seen) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("content-length", "connection")}
                answer = httpx.request(self.command, target + self.path, content=data, headers=headers, timeout=30)
                request = f"{self.command} {self.path.partition('?')[0]}"
                seen.add("http", "→", request, _chosen(dict(self.headers.items())), decoded(data))
                seen.add("http", "←", f"{answer.status_code} to {request}", _chosen(dict(answer.headers)), decoded(answer.content))
                self.send_response_only(answer.status_code)
                for name in ("Content-Type", "Content-Range", "Date", "ETag", "Accept-Ranges"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Tap":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _chosen(headers: dict[str, str]) -> dict[str, str]:
    return {name.title(): value for name, value in headers.items() if name.lower() in _HEADERS}
