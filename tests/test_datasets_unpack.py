"""Unpacking archives that nobody trusts."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import stat
import tarfile
import zipfile

import pytest

from common.core.errors import ZooError
from common.data import unpack as module
from common.data.unpack import FileFacts, unpack

NOISE = random.Random(0).getrandbits(8 * 5000).to_bytes(5000, "big")
FILES = {"d/a": b"first", "d/sub/b": NOISE}


def tar_with(path, *entries, mode="w:gz", files=()):
    """Writes a tar: entries are TarInfo without content, files are (name, content)."""
    with tarfile.open(str(path), mode) as tar:
        for entry in entries:
            tar.addfile(entry)
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def zip_with(path, *files):
    """Writes a zip of (name or ZipInfo, content)."""
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files:
            packed.writestr(name, content)
    return path


def special(name, kind, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def inside(tmp_path):
    folder = tmp_path / "outer" / "inside"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_an_archive_unpacks_with_size_and_sha256_of_each_file(tmp_path, inside, mode):
    archive = tmp_path / "archive"
    if mode == "zip":
        zip_with(archive, ("d/", b""), *FILES.items())
    else:
        tar_with(archive, special("d", tarfile.DIRTYPE), mode=mode, files=FILES.items())
    facts = unpack(archive, "zip" if mode == "zip" else "tar", inside, 10000)
    assert facts == {
        name: FileFacts(len(content), hashlib.sha256(content).hexdigest())
        for name, content in FILES.items()
    }
    assert {name: (inside / name).read_bytes() for name in FILES} == FILES


def test_what_tar_writes_of_the_folder_it_is_in_is_unpacked(tmp_path, inside):
    """`tar cf a.tar .`: the first member is the folder itself, the others begin with ./"""
    folders = (special(".", tarfile.DIRTYPE), special("./d", tarfile.DIRTYPE))
    files = [("./" + name, content) for name, content in FILES.items()]
    archive = tar_with(tmp_path / "a.tar", *folders, files=files)
    assert set(unpack(archive, "tar", inside, 10000)) == set(FILES)
    assert {name: (inside / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize(
    "name, told",
    [
        ("/absolute", "leads out of its folder"),
        ("../outside", "leads out of its folder"),
        ("d/../../outside", "leads out of its folder"),
        ("..", "leads out of its folder"),
        (".", "leads out of its folder"),  # a file, not the folder itself
        ("d\\..\\outside", "leads out of its folder"),
        ("C:/x", "leads out of its folder"),
        ("d/" + "x" * 256, "longer than 255 bytes"),
        ("d/" * 2000 + "x", "more than 100 folders"),
    ],
)
@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_a_member_that_leads_out_or_that_no_disk_takes_is_refused(
    tmp_path, inside, packing, name, told
):
    archive = tmp_path / "archive"
    if packing == "tar":
        tar_with(archive, files=[(name, b"evil")])
    else:
        zip_with(archive, (name, b"evil"))
    with pytest.raises(ZooError, match=told) as caught:
        unpack(archive, packing, inside, 10000)
    assert len(str(caught.value)) < 500
    assert everything_below(tmp_path) == ["archive", "outer", "outer/inside"]


LINK = zipfile.ZipInfo("x")
LINK.external_attr = (stat.S_IFLNK | 0o777) << 16


@pytest.mark.parametrize(
    "kind, told",
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device or pipe"),
        (LINK, "a link"),
    ],
)
def test_links_and_devices_are_refused(tmp_path, inside, kind, told):
    if kind is LINK:
        archive = zip_with(tmp_path / "a", (LINK, b"/etc/passwd"))
    else:
        entry, after = special("x", kind, "/etc/passwd"), ("x/after", b"through the link")
        archive = tar_with(tmp_path / "a", entry, files=[after])
    with pytest.raises(ZooError, match=told):
        unpack(archive, "zip" if kind is LINK else "tar", inside, 10000)
    assert everything_below(inside) == []


@pytest.mark.parametrize("packing", ["tar", "zip", "gz"])
def test_a_bomb_stops_at_the_stated_size(tmp_path, inside, packing):
    zeros = bytes(5000000)
    archive = tmp_path / "a.gz"
    if packing == "tar":
        tar_with(archive, files=[("a", zeros)])
    elif packing == "zip":
        zip_with(archive, ("a", zeros))
    else:
        archive.write_bytes(gzip.compress(zeros))
    with pytest.raises(ZooError, match="more than the 1.5 MB it should unpack to"):
        unpack(archive, packing, inside, 1500000)
    assert sum(path.stat().st_size for path in inside.rglob("*")) <= 1500000


def test_a_bomb_of_empty_files_stops_too(tmp_path, inside, monkeypatch):
    monkeypatch.setattr(module, "MEMBERS_AT_MOST", 3)
    archive = zip_with(tmp_path / "a.zip", *((str(number), b"") for number in range(4)))
    with pytest.raises(ZooError, match="more than 3 members"):
        unpack(archive, "zip", inside, 10)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "a/")])
def test_a_name_that_comes_twice_is_refused(tmp_path, inside, names):
    archive = zip_with(tmp_path / "a.zip", *((name, b"1"[: name[-1] != "/"]) for name in names))
    with pytest.raises(ZooError, match="twice"):
        unpack(archive, "zip", inside, 10)


@pytest.mark.parametrize(
    "packing, write",
    [
        ("tar", lambda path: tar_with(path, files=FILES.items())),
        ("zip", lambda path: zip_with(path, *FILES.items())),
        ("gz", lambda path: path.write_bytes(gzip.compress(NOISE))),
    ],
)
@pytest.mark.parametrize("harm", ["cut", "altered", "no archive"])
def test_a_damaged_archive_is_one_line(tmp_path, inside, packing, write, harm):
    archive = tmp_path / "a.gz"
    write(archive)
    content = archive.read_bytes()
    middle = len(content) // 2
    archive.write_bytes(
        {
            "cut": content[:middle],
            "no archive": b"<html>" * 50,
            "altered": content[:middle] + b"????" + content[middle + 4 :],
        }[harm]
    )
    with pytest.raises(ZooError, match="a damaged archive"):
        unpack(archive, packing, inside, 100000)


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path, inside, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(zip_with(tmp_path / "a.zip", ("a", b"1")), "zip", inside, 10)
