"""Downloading: against a server on this machine that goes on, changes, cuts and refuses."""

from __future__ import annotations

import hashlib
import io
import random
import socket

import attrs
import pytest

from common.core.errors import ZooError
from common.core.terminal import Terminal
from common.data.catalogue import Checksum, DataFile
from common.data.download import Download, PartialFile, TransferError, _session, ask
from common.data.progress import ByteProgress
from tests.data_server import DataServer

CONTENT = random.Random(0).getrandbits(8 * 300000).to_bytes(300000, "big")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = DataServer()
    served.files["a.bin"] = CONTENT
    yield served
    served.stop()


@pytest.fixture
def output():
    return io.StringIO()


@pytest.fixture
def fetch(tmp_path, output):
    """fetch(url, …, size=, checksum=) downloads to a.bin; returns the path."""

    def run(*urls, size=None, checksum=True):
        published = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest(), "the tests")
        wanted = DataFile("a.bin", ["https://x"], size, len(CONTENT), published)
        wanted = wanted if checksum else attrs.evolve(wanted, checksum=None)
        target = tmp_path / "a.bin"
        Download(target, wanted, Terminal(output, output), pause=lambda _: None).run(urls)
        return target

    return run


def leave_part(tmp_path, content, url="", validator=""):
    part = PartialFile(tmp_path / "a.bin")
    part.begin(url, validator)
    part.path.write_bytes(content)


def test_a_cut_connection_is_taken_up_where_it_broke(server, fetch):
    server.cut_after = [1000, 2000]
    path = fetch(server.url + "/a.bin", checksum=False)
    assert path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]
    assert server.asked == [("a.bin", None), ("a.bin", "bytes=1000-"), ("a.bin", "bytes=3000-")]


HERE, OTHER = "{}/a.bin", "https://elsewhere.example/a.bin"
TAG = f'"{hashlib.md5(CONTENT).hexdigest()}"'


@pytest.mark.parametrize(
    "length, url, version, without, checksum, asked, anew",
    [
        (5000, HERE, TAG, "", False, "bytes=5000-", False),
        (5000, HERE, '"an older version"', "", False, "bytes=5000-", True),
        (5000, HERE, TAG, "ranges", True, "bytes=5000-", True),
        # Without checksum and version nothing is joined; a checksum tells the outcome elsewhere.
        (5000, HERE, "", "etags", False, None, False),
        (5000, OTHER, '"its version"', "", True, "bytes=5000-", False),
        (300001, HERE, "", "", True, "bytes=300001-", False),  # longer than the server's file
    ],
)
def test_what_came_before_is_joined_only_where_it_fits(
    server, fetch, tmp_path, output, length, url, version, without, checksum, asked, anew
):
    """The next command goes on where the last one stopped."""
    if without:
        setattr(server, without, False)
    fits = version == TAG or url == OTHER
    kept = CONTENT[:length] if fits else b"x" * length
    leave_part(tmp_path, kept, url.format(server.url), version)
    assert fetch(server.url + "/a.bin", checksum=checksum).read_bytes() == CONTENT
    assert server.asked[0] == ("a.bin", asked)
    assert ("starts anew" in output.getvalue()) == anew


@pytest.mark.parametrize(
    "content, given, told",
    [
        (CONTENT[::-1], {}, "has sha256 .*the tests publishes .*--mirror"),
        (CONTENT, {"size": 300001}, "has 300,000 bytes, the published one 300,001"),
        (b"<html>please log in</html>", {"checksum": False}, "has 26 bytes where about 300.0 kB"),
    ],
    ids=["checksum", "size", "rough size"],
)
def test_another_file_is_refused_and_nothing_is_left(server, fetch, tmp_path, content, given, told):
    server.files["a.bin"] = content
    with pytest.raises(ZooError, match=told):
        fetch(server.url + "/a.bin", **given)
    assert list(tmp_path.iterdir()) == [] and len(server.asked) == 1


def test_a_server_that_is_busy_is_asked_again_a_few_times(server, fetch):
    server.errors = [503, 429]
    assert fetch(server.url + "/a.bin").read_bytes() == CONTENT
    server.errors, server.asked = [503] * 20, []
    with pytest.raises(ZooError, match="503"):
        fetch(server.url + "/a.bin")
    assert len(server.asked) == 5


def test_what_came_before_a_failure_is_kept_and_told(server, fetch, tmp_path):
    server.cut_after = [1000] + [0] * 5
    with pytest.raises(ZooError, match=r"the 1.0 kB that came are kept"):
        fetch(server.url + "/a.bin")
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:1000]


def test_a_refused_connection_is_one_line_with_the_next_step(fetch, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"
    with pytest.raises(ZooError, match=f"refused.*put the file at {tmp_path}"):
        fetch(url)


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with pytest.raises(TransferError, match="nothing came"):
            ask(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.1)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/a.bin"])
def test_only_http_and_https_are_spoken_after_a_redirect_too(server, fetch, place):
    server.redirects["a.bin"] = place
    for url in (server.url + "/a.bin", place):
        with pytest.raises(ZooError, match="only http and https are spoken"):
            fetch(url)


def test_https_is_not_left_by_a_redirect():
    import requests

    response = requests.Response()
    response.status_code, response.url = 302, "https://example.org/a"
    response.headers["Location"] = "http://example.org/a"
    with pytest.raises(TransferError, match="from https to http://example.org"):
        _session().get_redirect_target(response)


# --- progress ---


def test_a_log_gets_plain_lines_now_and_then_and_the_time_left_counts_what_came_now():
    log, ticks = io.StringIO(), iter([0.0, 1.0, 31.0, 40.0, 41.0])
    shown = ByteProgress(Terminal(log, log), "a.bin", 1000, start=200, clock=lambda: next(ticks))
    for position in (300, 600, 700):
        shown.at(position)
    # 400 bytes in 40 s, 400 to go
    assert log.getvalue() == "a.bin  60 %  600 bytes of 1.0 kB  10 bytes/s  40 s left\n"


def test_mirrors_are_tried_in_order_and_one_with_another_file_is_left(server, fetch):
    server.files["wrong"] = CONTENT[:-1] + b"?"
    urls = [server.url + path for path in ("/nowhere", "/wrong", "/a.bin")]
    assert fetch(*urls).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["nowhere", "wrong", "a.bin"]


def test_certificates_are_those_that_ssl_cert_file_names(monkeypatch, tmp_path):
    (tmp_path / "own.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert _session().verify == str(tmp_path / "own.pem")
