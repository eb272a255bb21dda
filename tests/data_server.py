"""A web server for the tests of the datasets: it can go on, change, cut, refuse and redirect."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from typing import Any, Dict, List, Optional


class DataServer:
    """Serves `files` (path without the slash to bytes) on localhost; behaviour is by attribute.

    Attributes:
        ranges: whether parts of a file are served.
        etags: whether versions are told by an ETag.
        cut_after: bytes after which the next answers break off, one entry for each answer.
        errors: status codes that the next answers have, before anything is served.
        redirects: path to the address it redirects to.
        asked: (path, Range header) of every request.
    """

    def __init__(self) -> None:
        self.files: Dict[str, bytes] = {}
        self.ranges = True
        self.etags = True
        self.cut_after: List[int] = []
        self.errors: List[int] = []
        self.redirects: Dict[str, str] = {}
        self.asked: List[Any] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(server: DataServer) -> Any:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            path = self.path.lstrip("/")
            server.asked.append((path, self.headers.get("Range")))
            if server.errors:
                self._empty(server.errors.pop(0))
            elif path in server.redirects:
                self._empty(302, {"Location": server.redirects[path]})
            elif path not in server.files:
                self._empty(404)
            else:
                self._serve(server.files[path])

        def _serve(self, content: bytes) -> None:
            tag = f'"{hashlib.md5(content).hexdigest()}"' if server.etags else None
            start = self._start(tag)
            if start is not None and start >= len(content):
                self._empty(416, {"Content-Range": f"bytes */{len(content)}"})
                return
            body = content[start or 0 :]
            self.send_response(200 if start is None else 206)
            self.send_header("Content-Length", str(len(body)))
            if tag:
                self.send_header("ETag", tag)
            if start is not None:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.end_headers()
            if server.cut_after:
                body = body[: server.cut_after.pop(0)]
            self.wfile.write(body)

        def _start(self, tag: Optional[str]) -> Optional[int]:
            asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
            condition = self.headers.get("If-Range")
            if not asked or not server.ranges or (condition and condition != tag):
                return None
            return int(asked.group(1))

        def _empty(self, code: int, headers: Optional[Dict[str, str]] = None) -> None:
            self.send_response(code)
            for name, value in dict(headers or {}, **{"Content-Length": "0"}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
