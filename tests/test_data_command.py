"""`zoo data list|prepare|verify`, on a small checkout of its own and a server on this machine."""

from __future__ import annotations

import collections
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from common.commands.program import main
from common.core.files import FolderLock
from tests.data_server import DataServer
from tests.fake_zoo import wait_until

REPOSITORY = Path(__file__).resolve().parent.parent
NOISE = random.Random(1).getrandbits(8 * 40000).to_bytes(40000, "big")
FILES = {"pictures/a": b"first picture", "pictures/sub/b": NOISE}
PLAIN = NOISE[:20000]
Usage = collections.namedtuple("Usage", "total used free")

GENERATOR = """
import argparse, json, pathlib
parser = argparse.ArgumentParser(prog="maker")
parser.add_argument("name"); parser.add_argument("--data_path", type=pathlib.Path)
parser.add_argument("--count", type=int, default=2, help="how many to make")
given = parser.parse_args()
folder = given.data_path / given.name
folder.mkdir(parents=True, exist_ok=True)
content = b"scene" * given.count
(folder / "train.bin").write_bytes(content)
(folder / "dataset.json").write_text(json.dumps({"count": given.count}))
"""


def packed_files(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


ARCHIVE = packed_files(FILES)
CATALOGUE = """
schema_version: 1
datasets:
  pictures:
    {{title: Pictures, description: a few, licence: none, folder: pictures, files: [
      {{path: pictures.tar.gz, urls: ["{url}/pictures.tar.gz"], unpack: tar, size: {size},
       unpacked_at_most: 100000, holds: {holds},
       checksum: {{algorithm: sha256, value: {sha256}, source: the tests}}}}]}}
  records:
    {{title: Records, description: a few, licence: none, folder: records, files: [
      {{path: records/train.bin, urls: ["{url}/train.bin"], about_size: 20000}},
      {{path: records/test.bin, urls: ["{url}/test.bin"], about_size: 20000}}]}}
  scenes: {{title: Scenes, description: a few, licence: none, folder: scenes,
            generated_by: maker_net.maker}}
"""


def write_catalogue(root, url, archive=ARCHIVE, holds=()):
    sha256 = hashlib.sha256(archive).hexdigest()
    given = {"url": url, "size": len(archive), "sha256": sha256, "holds": list(holds)}
    path = root / "TensorFlow" / "maker_net" / "datasets.yaml"
    path.write_text(CATALOGUE.format(**given))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = DataServer()
    served.files.update({"pictures.tar.gz": ARCHIVE, "train.bin": PLAIN, "test.bin": PLAIN[::-1]})
    yield served
    served.stop()


@pytest.fixture
def checkout(tmp_path, monkeypatch, server):
    """A checkout with three datasets, whose files the server has; ZOO_ROOT names it."""
    root = tmp_path / "checkout"
    network = root / "TensorFlow" / "maker_net"
    network.mkdir(parents=True)
    write_catalogue(root, server.url)
    (network / "__init__.py").write_text("")
    (network / "maker.py").write_text(GENERATOR)
    monkeypatch.setenv("ZOO_ROOT", str(root))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    return root


@pytest.fixture
def data(tmp_path, checkout):
    return tmp_path / "data"


@pytest.fixture
def zoo(data, capfd):
    """zoo("prepare", "pictures", …) gives exit code, output and error output."""

    def run(*words):
        code = main(["data"] + list(words) + ["--data_path", str(data)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def unpacked(data):
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in (data / "pictures").rglob("*")
        if path.is_file()
    }


# --- prepare ---


def test_an_archive_is_fetched_checked_and_unpacked_once(zoo, data, server):
    code, out, _ = zoo("prepare", "pictures")
    assert code == 0 and "sha256 as in the tests" in out and "Pictures is ready" in out
    assert unpacked(data) == FILES
    assert not (data / ".zoo" / "pictures" / "unpacking").exists()
    server.asked.clear()
    code, out, _ = zoo("prepare", "pictures")
    assert code == 0 and server.asked == [] and "already there and good" in out


def test_only_missing_files_are_fetched_and_an_unpublished_checksum_is_recorded(zoo, data, server):
    _, out, _ = zoo("prepare", "records")
    assert "nobody publishes a checksum of records/train.bin" in out
    assert hashlib.sha256(PLAIN).hexdigest() in out
    (data / "records" / "test.bin").unlink()
    server.asked.clear()
    assert zoo("prepare", "records")[0] == 0
    assert [path for path, _ in server.asked] == ["test.bin"]


def test_offline_uses_what_somebody_put_there_and_says_what_to_put_where(zoo, data, server):
    data.mkdir()
    (data / "pictures.tar.gz").write_bytes(ARCHIVE)
    assert zoo("prepare", "pictures", "--offline")[0] == 0
    assert unpacked(data) == FILES and server.asked == []
    code, _, err = zoo("prepare", "records", "--offline")
    assert code == 1 and server.asked == [] and err.count("\n") == 1
    assert str(data / "records" / "train.bin") in err and server.url + "/test.bin" in err
    assert "about 20.0 kB" in err


def test_a_mirror_is_another_data_folder_that_is_served(zoo, data, server):
    server.files = {"all/records/train.bin": PLAIN, "all/test.bin": PLAIN[::-1]}
    assert zoo("prepare", "records", "--mirror", server.url + "/all/")[0] == 0
    assert [path for path, _ in server.asked] == [
        "all/records/train.bin",
        "all/records/test.bin",
        "all/test.bin",
    ]


def test_a_disk_that_is_too_small_is_told_before_the_download(zoo, data, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1000))
    code, _, err = zoo("prepare", "pictures")
    assert code == 3 and server.asked == [] and "has 1.0 kB free" in err


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pictures.tar.gz", b"?" * len(ARCHIVE), "pictures.tar.gz has sha256"),
        ("pictures/a", b"mine", "incomplete"),
        ("pictures/a", b"other picture", "pictures/a"),
    ],
)
def test_what_somebody_put_there_is_named_and_never_replaced(
    name, content, told, zoo, data, server, checkout
):
    write_catalogue(checkout, server.url, holds=["a", "sub"])
    if content == b"other picture":
        zoo("prepare", "pictures")
    (data / name).parent.mkdir(parents=True, exist_ok=True)
    (data / name).write_bytes(content)
    code, _, err = zoo("prepare", "pictures")
    assert code == 1 and told in err and "move it away" in err
    assert (data / name).read_bytes() == content


def test_a_second_preparation_of_the_same_dataset_is_refused(zoo, data):
    state = data / ".zoo" / "pictures"
    state.mkdir(parents=True)
    lock = FolderLock(state)
    assert lock.acquire()
    code, _, err = zoo("prepare", "pictures")
    lock.release()
    assert code == 1 and f"being prepared by process {os.getpid()}" in err


def test_an_unpacking_that_was_killed_is_done_again(zoo, data):
    left = data / ".zoo" / "pictures" / "unpacking" / "pictures"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"?")
    assert zoo("prepare", "pictures")[0] == 0
    assert unpacked(data) == FILES


def start(data, *words):
    command = [sys.executable, "-m", "common", "data", "prepare"] + list(words)
    return subprocess.Popen(
        command + ["--data_path", str(data)],
        cwd=str(REPOSITORY),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=dict(os.environ),
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts():
    """A shell starts what it puts in the background with interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_killed_download_goes_on_where_it_stopped(zoo, data, server, number, code):
    server.cut_after = [1000] + [0] * 50
    part = data / "pictures.tar.gz.part"
    process = start(data, "pictures")
    wait_until(lambda: part.exists() and part.stat().st_size == 1000)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code and "Traceback" not in err
    assert (number == signal.SIGINT) == ("the same command goes on" in err)
    server.cut_after, server.asked = [], []
    assert zoo("prepare", "pictures")[0] == 0
    assert server.asked == [("pictures.tar.gz", "bytes=1000-")] and unpacked(data) == FILES


# --- generated ---


def test_a_generated_dataset_takes_the_generators_flags_and_is_recorded(zoo, data, checkout):
    code, out, _ = zoo("prepare", "scenes", "--help")
    assert code == 0 and "how many to make" in out
    code, _, err = zoo("prepare", "scenes", "--colour", "red")
    assert code == 2 and "--colour" in err
    assert zoo("prepare", "scenes", "--count", "3")[0] == 0
    assert (data / "scenes" / "train.bin").read_bytes() == b"scene" * 3
    assert zoo("verify", "scenes")[0] == 0
    (data / "scenes" / "train.bin").write_bytes(b"other")
    assert "scenes/train.bin: 5 bytes in place of 15" in zoo("verify", "scenes")[1]
    zoo("prepare", "scenes", "--count", "7")  # made anew with other settings: recorded anew
    assert zoo("verify", "scenes")[0] == 0
    # What is there already is not made again.
    (checkout / "TensorFlow" / "maker_net" / "maker.py").write_text("")
    (data / "scenes" / "train.bin").write_bytes(b"other")
    assert zoo("prepare", "scenes")[0] == 0
    assert zoo("verify", "scenes")[0] == 1


# --- verify ---


def test_verify_names_every_bad_file_of_what_prepare_made(zoo, data):
    zoo("prepare", "pictures")
    code, out, _ = zoo("verify", "pictures")
    assert code == 0 and "2 files compared" in out and "checked against the tests" in out
    (data / "pictures" / "a").write_bytes(b"first pictore")
    (data / "pictures" / "sub" / "b").unlink()
    code, out, _ = zoo("verify", "pictures")
    lines = out.splitlines()
    assert code == 1 and len(lines) == 3 and "2 bad" in lines[2]
    assert lines[0].startswith("pictures/a: sha256 is") and lines[1] == "pictures/sub/b: missing"
    zoo("prepare", "records")
    (data / "records" / "train.bin").write_bytes(PLAIN[:-1])
    assert "19,999 bytes in place of 20,000" in zoo("verify", "records")[1]


@pytest.mark.parametrize(
    ("name", "files"),
    [("records", {"records/train.bin": PLAIN, "records/test.bin": PLAIN}), ("pictures", FILES)],
)
def test_verify_records_what_nobody_published_and_compares_from_then_on(name, files, zoo, data):
    for file, content in files.items():
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).write_bytes(content)
    code, out, _ = zoo("verify", name)
    assert code == 0 and "nobody publishes checksums of 2 files; recorded at first use" in out
    (data / file).write_bytes(content[::-1])
    assert zoo("verify", name)[0] == 1
    (data / ".zoo" / name / "checksums.json").write_text("[")
    code, _, err = zoo("verify", name)
    assert code == 1 and "checksums.json is damaged" in err


def test_nothing_is_recorded_of_an_absent_or_incomplete_dataset(zoo, data):
    (data / "records").mkdir(parents=True)
    for name in ("pictures", "records", "scenes"):
        assert zoo("verify", name)[0] == 1
    (data / "records" / "train.bin").write_bytes(PLAIN)
    code, out, _ = zoo("verify", "records")
    assert code == 1 and "records/test.bin: missing" in out
    assert not (data / ".zoo").exists()


# --- list ---


def test_the_list_tells_size_source_and_whether_it_is_there(zoo, data):
    zoo("prepare", "pictures")
    (data / "records").mkdir(parents=True)
    (data / "records" / "test.bin").write_bytes(PLAIN)
    lines = {line.split()[0]: line for line in zoo("list")[1].splitlines() if line}
    assert "the tests" in lines["pictures"] and lines["pictures"].endswith("yes")
    assert "about 40.0 kB" in lines["records"] and lines["records"].endswith("partly")
    assert "generated" in lines["scenes"] and lines["scenes"].endswith("no")
    rows = {row["name"]: row for row in json.loads(zoo("list", "--json")[1])}
    assert rows["pictures"]["size"] == len(ARCHIVE) and rows["pictures"]["there"] == "yes"
    assert rows["records"]["there"] == "partly" and rows["scenes"]["generated"]


@pytest.mark.parametrize(
    "words, told",
    [
        ("prepare records --mirror /mnt/data", "http:// or https://"),
        ("prepare records --mirror http://x --offline", "not allowed with"),
        ("prepare scenes --mirror http://x", "generated here"),
        ("prepare picture", "there are: pictures, records, scenes"),
        ("verify pictures", "is no folder"),  # the data folder is not there
        *[(words, "error: zoo data") for words in ("fetch", "prepare", "verify", "list --colour")],
    ],
)
def test_a_command_that_asks_for_what_there_is_not_is_a_usage_error(zoo, words, told):
    code, _, err = zoo(*words.split())
    assert code == 64 and told in err and err.count("\n") == 1
