"""The live page: who may see it, what it shows, and that it holds nobody up."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.results import FrameResult, Subject
from runtime.viewing import serve as serve
from runtime.viewing.controls import Action
from runtime.viewing.serve import Page, is_loopback
from runtime.viewing.viewer import Status
from tests.runtime.browser import CHROMIUM, Browser

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, typer
from runtime.commands import RunCommand, make_run
app = typer.Typer(pretty_exceptions_enable=False)
app.command("run", cls=RunCommand)(make_run())
app.command("other")(lambda: None)
app()
"""


def status(number: int = 0, message: str = "") -> Status:
    points = np.zeros((6, 2), dtype=np.float32)
    subject = Subject(3, "", 0.75, points, (0, 0, 1, 1), handedness="left")
    result = FrameResult("clip.mp4", number, 33_333 * number, 64, 48, 0, [subject], "face 478")
    return Status(result, 30.0, 2, 0, False, True, "", message, False)


def picture(grey: int = 90, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), grey, dtype=np.uint8)


@pytest.fixture
def page() -> Iterator[Page]:
    opened = Page(port=0)
    yield opened
    opened.close()


def ask(
    page: Page, path: str, method: str = "GET", token: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request; with the right token as a cookie unless another is given."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    cookie = {"Cookie": f"viewfinder-{page.port}={page.token if token is None else token}"}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={**cookie, **names})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def actions(page: Page) -> list[Action]:
    return list(page.actions())


def test_the_printed_address_opens_the_page(page: Page) -> None:
    assert page.url == f"http://127.0.0.1:{page.port}/?token={page.token}"
    assert len(page.token) >= 20
    code, headers, _ = ask(page, f"/?token={page.token}", token="")
    assert (code, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    code, headers, body = ask(page, "/", Cookie=cookie.split(";")[0])
    assert code == 200
    assert b"<title>Viewfinder</title>" in body
    for path in ("/page.css", "/page.js", "/page.svg"):
        assert ask(page, path)[0] == 200
        assert path.encode() in body
    assert Page.__init__.__defaults__[0] == "127.0.0.1"  # type: ignore[index]


PATHS = ("/", "/page.js", "/page.css", "/stream", "/picture.jpg", "/status", "/nothing")


def test_without_the_token_there_is_nothing(page: Page) -> None:
    for token in ("", "wrong", "é".encode().decode("latin-1"), "A" * 22):
        for path in PATHS:
            code, _, body = ask(page, path, token=token)
            assert code == 403
            assert b"viewfinder run --serve" in body
            assert page.token.encode() not in body
        assert ask(page, f"/do/{Action.quit}", "POST", token=token, X_Viewfinder="1")[0] == 403
    assert ask(page, "/status?token=wrong", token="")[0] == 403
    assert actions(page) == []


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1", "localhost:1",
             "192.168.1.5:{port}", "", "[::1", "127.0.0.1:{port}:80"],
)  # fmt: skip
def test_another_host_name_is_refused(page: Page, host: str) -> None:
    for path in PATHS:
        assert ask(page, path, Host=host.format(port=page.port))[0] == 403


def test_names_of_this_machine_are_right(page: Page) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.0.0.2"):
        assert ask(page, "/status", Host=f"{host}:{page.port}")[0] == 200


def test_a_page_for_the_network_knows_addresses_and_its_own_name_only() -> None:
    opened = Page("0.0.0.0", 0)
    try:
        assert "0.0.0.0" not in opened.url  # an address that a phone can open
        for host, code in {
            "192.168.1.5": 200, "127.0.0.1": 200, socket.gethostname(): 200, "evil.example": 403,
        }.items():  # fmt: skip
            assert ask(opened, "/status", Host=f"{host}:{opened.port}")[0] == code
        assert ask(opened, "/status", token="wrong")[0] == 403
    finally:
        opened.close()
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.org")


def test_there_are_no_files_behind_the_page(page: Page) -> None:
    for path in (
        "/../serve.py", "/..%2fserve.py", "//etc/passwd", "/page.html", "/data/page.html",
        "/page.js/../../errors.py", "/%2e%2e/%2e%2e/etc/passwd", "/page.css%00", "/do/quit",
    ):  # fmt: skip
        code, _, body = ask(page, path)
        assert (code, body) == (404, b"no such page\n")


def test_every_answer_forbids_what_the_page_does_not_need(page: Page) -> None:
    page.show(picture(), status())
    for path in ("/", "/page.js", "/status", "/picture.jpg", "/nothing"):
        headers = ask(page, path)[1]
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
    for name in ("page.html", "page.css", "page.js"):
        text = (ROOT / "runtime" / "data" / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "style=" not in text  # the policy would block it


def test_buttons_come_through_and_nothing_else_does(page: Page) -> None:
    for action in Action:
        assert ask(page, f"/do/{action}", "POST", X_Viewfinder="1")[0] == 204
    assert actions(page) == list(Action)
    assert ask(page, "/do/explode", "POST", X_Viewfinder="1")[0] == 404
    assert ask(page, "/pause", "POST", X_Viewfinder="1")[0] == 404
    assert ask(page, "/do/pause", "POST")[0] == 403  # a form on another page
    assert ask(page, "/do/pause", "PUT", X_Viewfinder="1")[0] == 501
    # A body is no second request.
    smuggled = f"POST /do/save HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nX-Viewfinder: 1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", page.port), timeout=5) as raw:
        head = f"POST /do/help?token={page.token} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        raw.sendall(
            f"{head}X-Viewfinder: 1\r\nContent-Length: {len(smuggled)}\r\n\r\n{smuggled}".encode()
        )
        while raw.recv(4096):
            pass
    assert actions(page) == [Action.help]
    assert actions(page) == []
    codes = {ask(page, "/do/pause", "POST", X_Viewfinder="1")[0] for _ in range(70)}
    assert codes == {204, 503}
    assert len(actions(page)) == 64


def test_the_numbers(page: Page) -> None:
    assert json.loads(ask(page, "/status")[2]) == {"number": 0}
    page.show(picture(), status(7, "kept"))
    told = json.loads(ask(page, "/status")[2])
    assert (told["frame"], told["model"], told["dropped"], told["message"]) == (
        7, "face 478", 2, "kept",
    )  # fmt: skip
    assert told["subjects"] == [{"id": 3, "topology": "", "score": 0.75, "handedness": "left"}]


def test_the_newest_picture_is_sent(page: Page) -> None:
    page.show(picture(30), status(0))
    page.show(picture(200, 3000), status(1))
    code, headers, body = ask(page, "/picture.jpg")
    assert (code, headers["content-type"]) == (200, "image/jpeg")
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (1600, 1600, 3)
    assert abs(float(decoded.mean()) - 200) < 2


class Watcher:
    """A browser that reads the stream."""

    def __init__(self, page: Page) -> None:
        self.socket = socket.create_connection(("127.0.0.1", page.port), timeout=10)
        request = f"GET /stream?token={page.token} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n"
        self.socket.sendall(request.encode())
        self.file = self.socket.makefile("rb")
        assert b"200" in self.file.readline()
        while self.file.readline().strip():
            pass
        assert self.file.readline() == b"--viewfinder-frame\r\n"

    def grey(self) -> float:
        """Of the next picture."""
        headers = {}
        while line := self.file.readline().strip():
            name, value = line.decode().split(": ")
            headers[name] = value
        data = self.file.read(int(headers["Content-Length"]))
        assert self.file.read(2) == b"\r\n"
        assert self.file.readline() == b"--viewfinder-frame\r\n"
        return float(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean())

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_the_stream_shows_picture_after_picture(page: Page) -> None:
    page.show(picture(10), status())
    watcher = Watcher(page)
    for grey in (10, 60, 120, 240):
        page.show(picture(grey), status())
        while (shown := watcher.grey()) != pytest.approx(grey, abs=2):
            assert shown < grey + 2  # those before it may come first, those after it don't
    # One that stays on view comes again: browsers show a part when the next begins.
    assert watcher.grey() == watcher.grey() == pytest.approx(240, abs=2)
    watcher.close()


def test_a_browser_that_reads_nothing_holds_nobody_up(page: Page) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    page.show(noise, status())
    stuck = [Watcher(page) for _ in range(3)]
    spent = []
    for number in range(150):
        start = time.perf_counter()
        page.show(noise, status(number))
        spent.append(time.perf_counter() - start)
        time.sleep(0.002)
    assert np.median(spent) < 0.005
    assert sum(spent) < 3.0  # a send that waits for a browser takes 15 s
    page.show(picture(77), status())
    reading = Watcher(page)
    assert reading.grey() == pytest.approx(77, abs=2)
    for watcher in (*stuck, reading):
        watcher.close()


def test_no_more_viewers_than_there_is_room_for(page: Page) -> None:
    watchers = [Watcher(page) for _ in range(8)]
    assert ask(page, "/stream")[0] == 503
    assert ask(page, "/status")[0] == 200
    for watcher in watchers:
        watcher.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        page.show(picture(), status())  # finds out that they have gone
        with contextlib.suppress(AssertionError):
            Watcher(page).close()
            return
        time.sleep(0.02)
    pytest.fail("places stay taken")


def test_closing_lets_everybody_go() -> None:
    opened = Page(port=0)
    opened.show(picture(), status())
    watcher = Watcher(opened)
    watcher.grey()
    start = time.monotonic()
    opened.close()
    assert time.monotonic() - start < 1.5
    assert watcher.file.read() == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", opened.port), timeout=2)


def test_ports_and_hosts_that_will_not_do(page: Page) -> None:
    with pytest.raises(ViewfinderError, match=rf"can't listen at 127.0.0.1:{page.port}.*port"):
        Page(port=page.port)
    with pytest.raises(ViewfinderError, match=r"serve-host.*can't listen"):
        Page("203.0.113.7")
    # The usual port being taken is no reason to stop.
    taken = None
    with contextlib.suppress(ViewfinderError):
        taken = Page(port=serve.DEFAULT_PORT)
    other = Page()
    assert other.port != serve.DEFAULT_PORT
    other.close()
    if taken is not None:
        taken.close()


@pytest.fixture
def served(clip: Path, face_bundle: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """`viewfinder run --serve` on a clip, and its address."""
    command = [
        sys.executable, "-c", PROGRAM, "run", "face", "--source", str(clip), "--model",
        str(face_bundle), "--serve", "--serve-port", "0",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[0]
        assert address.startswith("http://127.0.0.1:"), address
        yield process, address
        process.kill()


def test_ctrl_c_ends_a_page_cleanly(served: tuple[subprocess.Popen, str]) -> None:
    process, address = served
    port = int(address.split(":")[2].split("/")[0])
    token = address.split("=")[1]
    watching = socket.create_connection(("127.0.0.1", port), timeout=10)
    watching.sendall(f"GET /stream?token={token} HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n".encode())
    received = b""
    while b"image/jpeg" not in received:  # the run is on its way
        received += watching.recv(4096)
    assert received.startswith(b"HTTP/1.1 200 OK")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0  # it was only looked at
    assert process.stderr is not None
    told = process.stderr.read()
    assert "Traceback" not in told
    assert told == ""
    watching.close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")
def test_a_person_at_a_real_browser(served: tuple[subprocess.Popen, str], tmp_path: Path) -> None:
    process, address = served
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(address)
        browser.until("document.readyState === 'complete' || byId('state').innerText === 'paused'")
        browser.until("byId('state').innerText === 'paused' && byId('view').naturalWidth === 160")
        assert browser.value("location.search + document.cookie") == ""  # the token is out of sight
        assert browser.value("byId('model').innerText") == "whole.task"
        assert browser.value("byId('subjects').innerText").startswith("face 0")
        assert browser.value("byId('frame').innerText") == "11"
        time.sleep(0.3)
        with_overlays = stage(browser)
        # The light grey clip with its cyan and orange overlays fills the stage, else near black.
        assert with_overlays.mean() > 60
        assert np.abs(with_overlays[..., 0].astype(int) - with_overlays[..., 2]).max() > 100
        browser.press("o")
        browser.until("byId('overlays').getAttribute('aria-pressed') === 'false'")
        time.sleep(0.5)
        assert np.abs(np.diff(stage(browser).astype(int), axis=2)).max() < 30  # all grey
        browser.value("document.querySelector('[data-action=back]').click()")
        browser.until("byId('frame').innerText === '10 (-1)'")
        browser.press("s")
        browser.until("byId('message').innerText.includes('--save-to')")
        browser.press("?")
        browser.until("byId('keys').open && byId('key-rows').children.length > 5")
        assert browser.complaints == []
        browser.press("q")
        assert process.wait(timeout=10) == 0
        browser.until("byId('state').innerText === 'stopped'")
    finally:
        browser.close()


def stage(browser: Browser) -> np.ndarray:
    """The middle of the picture as the page shows it."""
    box = "byId('view').getBoundingClientRect()"
    left, top, right, bottom = (
        round(browser.value(f"{box}.{side}")) for side in ("left", "top", "right", "bottom")
    )
    page = cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    across, down = (right - left) // 5, (bottom - top) // 5
    return page[top + down : bottom - down, left + across : right - across]


@pytest.mark.parametrize("serving", [False, True])
def test_a_socket_is_opened_only_to_serve(serving: bool, clip: Path, face_bundle: Path) -> None:
    watch = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: event.startswith("socket.") and opened.append(event))
import atexit, os
atexit.register(lambda: print("sockets", len(opened), file=sys.stderr, flush=True))
"""
    command = [
        sys.executable, "-c", watch + PROGRAM, "run", "face", "--source", str(clip), "--model",
        str(face_bundle), "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if serving:
        command += ["--serve", "--serve-port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(12)]
        assert json.loads(lines[-1])["frame"] == 11
        if serving:
            process.send_signal(signal.SIGINT)
        try:
            _, told = process.communicate(timeout=20)
        finally:
            process.kill()  # where Ctrl-C is ignored, as under nohup, the test fails and goes on
    count = int(told.rsplit("sockets ", 1)[1])
    assert (count > 0) == serving
