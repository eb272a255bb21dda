"""Downloading: against a server on this machine that goes on, changes, cuts and refuses."""

from __future__ import annotations

import hashlib
import io
import random
import socket

import pytest

from common.core.errors import ZooError
from common.core.terminal import Terminal
from common.data.catalogue import Checksum
from common.data.download import Download, PartialFile, TransferError, Wanted, _session, ask
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
        wanted = Wanted(len(CONTENT), size, published if checksum else None)
        target = tmp_path / "a.bin"
        Download(target, wanted, Terminal(output, output), pause=lambda _: None).run(urls)
        return target

    return run


def leave_part(tmp_path, content, url="", validator=""):
    part = PartialFile(tmp_path / "a.bin")
    part.begin(url, validator)
    part.path.write_bytes(content)


def etag():
    return f'"{hashlib.md5(CONTENT).hexdigest()}"'


def test_a_file_comes_whole_and_nothing_else_is_left(server, fetch, tmp_path):
    assert fetch(server.url + "/a.bin").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_cut_connection_is_taken_up_where_it_broke(server, fetch):
    server.cut_after = [1000, 2000]
    assert fetch(server.url + "/a.bin", checksum=False).read_bytes() == CONTENT
    assert server.asked == [("a.bin", None), ("a.bin", "bytes=1000-"), ("a.bin", "bytes=3000-")]


def test_the_next_command_goes_on_where_the_last_one_stopped(server, fetch, tmp_path):
    leave_part(tmp_path, CONTENT[:5000], server.url + "/a.bin", etag())
    assert fetch(server.url + "/a.bin", checksum=False).read_bytes() == CONTENT
    assert server.asked == [("a.bin", "bytes=5000-")]


def test_a_file_that_changed_on_the_server_starts_anew(server, fetch, tmp_path, output):
    leave_part(tmp_path, b"x" * 5000, server.url + "/a.bin", '"an older version"')
    assert fetch(server.url + "/a.bin", checksum=False).read_bytes() == CONTENT
    assert "starts anew" in output.getvalue()


def test_a_server_that_serves_no_parts_starts_anew(server, fetch, tmp_path):
    server.ranges = False
    leave_part(tmp_path, CONTENT[:5000], server.url + "/a.bin", etag())
    assert fetch(server.url + "/a.bin").read_bytes() == CONTENT


def test_without_checksum_and_version_nothing_is_joined(server, fetch, tmp_path):
    server.etags = False
    leave_part(tmp_path, b"x" * 5000, server.url + "/a.bin", "")
    assert fetch(server.url + "/a.bin", checksum=False).read_bytes() == CONTENT
    assert server.asked == [("a.bin", None)]


def test_a_part_goes_on_at_another_mirror_where_a_checksum_tells_the_outcome(
    server, fetch, tmp_path
):
    leave_part(tmp_path, CONTENT[:5000], "https://elsewhere.example/a.bin", '"its version"')
    assert fetch(server.url + "/a.bin").read_bytes() == CONTENT
    assert server.asked == [("a.bin", "bytes=5000-")]


def test_a_part_that_is_complete_needs_no_server(fetch, tmp_path):
    leave_part(tmp_path, CONTENT)
    assert fetch("http://127.0.0.1:1/a.bin", size=len(CONTENT)).read_bytes() == CONTENT


def test_a_part_longer_than_the_servers_file_starts_anew(server, fetch, tmp_path):
    leave_part(tmp_path, b"x" * (len(CONTENT) + 1))
    assert fetch(server.url + "/a.bin").read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(server, fetch):
    server.files["good"] = CONTENT
    assert fetch(server.url + "/nowhere", server.url + "/good").read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["nowhere", "good"]


def test_a_mirror_with_another_file_is_left_for_the_next(server, fetch):
    server.files["wrong"] = CONTENT[:-1] + b"?"
    assert fetch(server.url + "/wrong", server.url + "/a.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_no_file_and_names_both(server, fetch, tmp_path):
    server.files["a.bin"] = CONTENT[::-1]
    with pytest.raises(ZooError, match="has sha256 .*the tests publishes .*--mirror"):
        fetch(server.url + "/a.bin")
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused_before_the_transfer(server, fetch, tmp_path):
    with pytest.raises(ZooError, match="has 300,000 bytes, the published one 300,001"):
        fetch(server.url + "/a.bin", size=300001)
    assert list(tmp_path.iterdir()) == [] and len(server.asked) == 1


def test_an_error_page_is_not_taken_for_a_file_without_checksum(server, fetch):
    server.files["a.bin"] = b"<html>please log in</html>"
    with pytest.raises(ZooError, match="has 26 bytes where about 300.0 kB are expected"):
        fetch(server.url + "/a.bin", checksum=False)


def test_a_server_that_is_busy_is_asked_again(server, fetch):
    server.errors = [503, 429]
    assert fetch(server.url + "/a.bin").read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_given_up(server, fetch):
    server.errors = [503] * 20
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


def test_a_host_that_is_not_found_is_told(fetch, monkeypatch):
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    with pytest.raises(ZooError, match="the host is not found"):
        fetch("https://nowhere.invalid/a.bin")


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with pytest.raises(TransferError, match="nothing came"):
            ask(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.1)


def test_redirects_are_followed_with_the_range(server, fetch, tmp_path):
    server.redirects["old"] = server.url + "/a.bin"
    leave_part(tmp_path, CONTENT[:100])
    assert fetch(server.url + "/old").read_bytes() == CONTENT
    assert server.asked[-1] == ("a.bin", "bytes=100-")


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


def test_certificates_are_those_that_ssl_cert_file_names(monkeypatch, tmp_path):
    (tmp_path / "own.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert _session().verify == str(tmp_path / "own.pem")


# --- progress ---


class Screen(io.StringIO):
    def isatty(self):
        return True


def progress(stream, times):
    ticks = iter(times)
    return ByteProgress(
        Terminal(stream, stream), "a.bin", 1000, start=200, clock=lambda: next(ticks)
    )


def test_the_time_left_counts_only_what_came_now():
    line = progress(io.StringIO(), [0.0, 10.0]).line(600)  # 400 bytes in 10 s, 400 to go
    assert line == "a.bin  60 %  600 bytes of 1.0 kB  40 bytes/s  10 s left"


def test_a_terminal_shows_a_line_that_is_redrawn_and_taken_away():
    screen = Screen()
    shown = progress(screen, [0.0, 1.0, 1.0])
    shown.at(400)
    shown.done()
    assert "\n" not in screen.getvalue() and "40 %" in screen.getvalue()


def test_a_log_gets_plain_lines_now_and_then():
    log = io.StringIO()
    shown = progress(log, [0.0, 1.0, 31.0, 31.0, 32.0])
    for position in (300, 400, 500):
        shown.at(position)
    assert log.getvalue().count("\n") == 1 and "\r" not in log.getvalue()
