"""The live view on a web page of this machine, and the only socket that Viewfinder opens.

Whoever asks must know the token that stands in the printed address (kept as a cookie from then on),
and the Host header must name this machine, so that no other page can reach this one through a
name of its own (DNS rebinding). Pictures are encoded by the threads that send them, at most once
each, and a browser that is slow skips pictures: the loop never waits for one.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import queue
import secrets
import socket
import socketserver
import sys
import threading
from collections.abc import Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runtime.drawing.strokes import Picture
from runtime.errors import ViewfinderError
from runtime.viewing.controls import Action
from runtime.viewing.page import Pictures, status_json
from runtime.viewing.viewer import Status

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8765
_PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.svg": ("page.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_BOUNDARY = "viewfinder-frame"
_SILENCE_S = 15.0  # a browser that takes nothing for so long has gone
_ACTIONS_KEPT = 64
_STILL_S, _QUIET_S = 0.1, 1.0  # a picture that stays is sent again so soon, then so often


class Page:
    """A web page as a screen: `runtime.viewing.viewer.Screen`.

    Args:
        host: address to listen at.
        port: its port; None for the usual one, or a free one where that is taken.

    Attributes:
        url: what to open in a browser, with the token.

    Raises:
        ViewfinderError: the address can't be listened at.
    """

    def __init__(self, host: str = LOOPBACK, port: int | None = None) -> None:
        self.token = secrets.token_urlsafe(16)
        self._pictures = Pictures()
        self._actions: queue.Queue[Action] = queue.Queue(_ACTIONS_KEPT)
        self._server = _opened(host, port, self.token, self._pictures, self._actions)
        self.port = self._server.server_address[1]
        shown = _reachable(host)
        shown = f"[{shown}]" if ":" in shown else shown
        self.url = f"http://{shown}:{self.port}/?token={self.token}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    def show(self, picture: Picture, status: Status) -> None:
        """Hand a picture to whoever looks; it isn't copied or waited for."""
        self._pictures.put(picture, status)

    def actions(self) -> Iterable[Action]:
        """The buttons pressed since the last time."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._actions.get_nowait()

    def close(self) -> None:
        """Stop listening, and let every browser go."""
        self._pictures.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at that address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _reachable(host: str) -> str:
    """The address by which others reach what listens at `host`."""
    if host not in ("0.0.0.0", "::"):
        return host
    family, far = (
        (socket.AF_INET, "192.0.2.1") if host == "0.0.0.0" else (socket.AF_INET6, "2001:db8::1")
    )
    # The address that packets for elsewhere would leave from; none is sent.
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((far, 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Someone else's server must not be shadowed, and ours must not be.
    allow_reuse_port = False

    def __init__(
        self, host: str, port: int, token: str, pictures: Pictures, actions: queue.Queue[Action]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.token = token
        self.pictures = pictures
        self.actions = actions
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the reverse look-up of the name that http.server does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in the middle is no error worth printing; a bug is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "Viewfinder"
    sys_version = ""
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        """Pages, the stream, the newest picture, the numbers."""
        url = urlsplit(self.path)
        if not self._allowed(url.query):
            return
        if url.path == "/" and "token" in parse_qs(url.query):
            self._keep_token()
        elif url.path in _PAGES:
            name, kind = _PAGES[url.path]
            data = resources.files("runtime").joinpath("data", name).read_bytes()
            self._answer(HTTPStatus.OK, kind, data)
        elif url.path == "/stream":
            self._stream()
        elif url.path == "/picture.jpg":
            encoded = self.server.pictures.after(0, 5.0)
            if encoded is None:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "no picture yet")
            else:
                self._answer(HTTPStatus.OK, "image/jpeg", encoded[1])
        elif url.path == "/status":
            number, status = self.server.pictures.status()
            data = json.dumps(status_json(number, status)).encode()
            self._answer(HTTPStatus.OK, "application/json", data)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "no such page")

    def do_POST(self) -> None:
        """What a button asks for."""
        url = urlsplit(self.path)
        # Nothing here has a body, and what isn't read would be taken for the next request.
        self.close_connection = self.headers.get("Content-Length", "0") != "0" or (
            "Transfer-Encoding" in self.headers
        )
        if not self._allowed(url.query):
            return
        # A form of another page can't set this header.
        if self.headers.get("X-Viewfinder") != "1":
            self._refuse(HTTPStatus.FORBIDDEN, "not from this page")
            return
        name = url.path.removeprefix("/do/")
        if url.path == name or name not in Action.__members__:
            self._refuse(HTTPStatus.NOT_FOUND, "no such action")
            return
        try:
            self.server.actions.put_nowait(Action(name))
        except queue.Full:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests")
            return
        self._answer(HTTPStatus.NO_CONTENT, "", b"")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the terminal is the command's."""

    def _allowed(self, query: str) -> bool:
        if not self._host_allowed():
            self._refuse(HTTPStatus.FORBIDDEN, "wrong Host header")
            return False
        given = [*parse_qs(query).get("token", []), self._cookie()]
        right = self.server.token.encode()
        # Every one is compared, in constant time.
        if not sum(hmac.compare_digest(token.encode(), right) for token in given):
            self._refuse(
                HTTPStatus.FORBIDDEN, "open the address that `viewfinder run --serve` printed"
            )
            return False
        return True

    def _host_allowed(self) -> bool:
        name, _, port = self.headers.get("Host", "").rpartition(":")
        name = name.strip("[]").lower()
        if port != str(self.server.server_port):
            return False
        if is_loopback(name):
            return True
        if is_loopback(self.server.host):
            return False
        if name == self.server.host.lower() or name == socket.gethostname().lower():
            return True
        # Listening to the network: an address can't be rebound, a foreign name could be.
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return False

    def _cookie(self) -> str:
        jar: SimpleCookie = SimpleCookie()
        with contextlib.suppress(CookieError):
            jar.load(self.headers.get("Cookie", ""))
        kept = jar.get(self._cookie_name())
        return kept.value if kept else ""

    def _cookie_name(self) -> str:
        # Cookies are shared by all ports of a host.
        return f"viewfinder-{self.server.server_port}"

    def _keep_token(self) -> None:
        """Put the token into a cookie and out of the address."""
        cookie = f"{self._cookie_name()}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
        self._answer(HTTPStatus.SEE_OTHER, "", b"", {"Location": "/", "Set-Cookie": cookie})

    def _stream(self) -> None:
        pictures = self.server.pictures
        if not pictures.streams.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers")
            return
        try:
            self.close_connection = True
            self.send_response(HTTPStatus.OK)
            self._headers(f"multipart/x-mixed-replace; boundary={_BOUNDARY}", None)
            self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
            number, encoded, patience_s = 0, None, _STILL_S
            while not pictures.ended:
                newer = pictures.after(number, patience_s)
                # Chromium shows a part once the next one begins, so a picture that stays on view
                # is sent again; that also finds out who has gone.
                patience_s = _STILL_S if newer else _QUIET_S
                encoded = newer or encoded
                if encoded is None or pictures.ended:
                    continue
                number, data = encoded
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + f"\r\n--{_BOUNDARY}\r\n".encode())
        except OSError:
            pass  # the browser has gone
        finally:
            pictures.streams.release()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._answer(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _answer(
        self, status: HTTPStatus, kind: str, data: bytes, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self._headers(kind, len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _headers(self, kind: str, length: int | None) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if kind:
            self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _opened(
    host: str, port: int | None, token: str, pictures: Pictures, actions: queue.Queue[Action]
) -> _Server:
    wanted = [DEFAULT_PORT, 0] if port is None else [port]
    for number in wanted:
        try:
            return _Server(host, number, token, pictures, actions)
        except (OSError, OverflowError) as error:
            if number == wanted[-1]:
                raise ViewfinderError(
                    f"can't listen at {host}:{number}: {getattr(error, 'strerror', None) or error}",
                    field="--serve-host" if port is None else "--serve-port",
                    hint="give another port or host",
                ) from error
    raise AssertionError("unreachable")
