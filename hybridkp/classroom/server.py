"""The page behind a server of this computer's own: nobody else is asked, and nobody else may ask.

It listens on the loopback address alone.  Its address holds a secret word, so that neither another user nor a
page of some other site can reach it; pictures come through the same door as files do.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ..files.pictures import decode_image
from ..structures import InputError
from .answers import Classroom
from .page import POLICY, render

LOOPBACK = "127.0.0.1"
MOST_BYTES = 32 * 2**20  #: of a picture that is sent
MOST_STATE = 2**16  #: of a state
#: names of this computer itself; of any port, since a tunnel has its own
_OURS = re.compile(r"http://(127\.0\.0\.1|localhost)(:\d{1,5})?")
SECONDS = 30.0  #: that a sender may stay silent


class Server(ThreadingHTTPServer):
    """Answers one classroom's pages; ``url`` is the address to open."""

    daemon_threads = True

    def __init__(self, classroom: Classroom, port: int = 0) -> None:
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "there are 0 to 65535"
            raise InputError(f"port {port}: {reason}; give another, or none") from None
        self.decoding = threading.Lock()  # one large picture at a time
        self.classroom = classroom
        self.word = secrets.token_urlsafe(16)
        self.page = render(classroom).encode()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/{self.word}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no news."""


def serve(classroom: Classroom, port: int = 0) -> Server:
    """A server for ``classroom``; ``serve_forever()`` starts it, ``port`` 0 takes a free one.

    Raises :class:`InputError` where the port is taken.
    """
    return Server(classroom, port)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = SECONDS
    server_version, sys_version = "hybridkp", ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._is_ours("/"):
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        if self.path.endswith("/state"):
            limit, work = MOST_STATE, self._state
        else:
            limit, work = MOST_BYTES, self._picture
        if not self._is_ours("/state", "/picture"):
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isdecimal() and len(length) < 12 and int(length) <= limit):
            words = f"over {limit / 2**20:g} MB, or of no stated length: send a smaller picture"
            self._complain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
            return
        data = self.rfile.read(int(length))
        try:
            found = work(data)
        except InputError as error:
            self._complain(HTTPStatus.BAD_REQUEST, str(error))
        except (ValueError, RecursionError):
            self._complain(HTTPStatus.BAD_REQUEST, "that is no JSON")
        else:
            self._send(HTTPStatus.OK, json.dumps(found, allow_nan=False).encode(), "application/json")

    def _state(self, data: bytes) -> Any:
        return self.server.classroom.answer(json.loads(data))

    def _picture(self, data: bytes) -> Any:
        with self.server.decoding:
            return {"picture": self.server.classroom.take(decode_image(data, Path("the picture")))}

    def _is_ours(self, *ends: str) -> bool:
        """Whether who asks knows the secret word and came by our own name (no other site's page does)."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        asked = [f"http://{host}", *([] if origin is None else [origin])]
        paths = [f"/{self.server.word}{end}" for end in ends]
        known = any(secrets.compare_digest(self.path.encode(), path.encode()) for path in paths)
        if known and all(_OURS.fullmatch(url) for url in asked):
            return True
        self._complain(HTTPStatus.NOT_FOUND, "there is nothing here: open the address that was printed")
        return False

    def _complain(self, status: HTTPStatus, text: str) -> None:
        self.close_connection = True  # what else was sent is not read
        self._send(status, json.dumps({"error": text}).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", POLICY)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal belongs to the command."""
