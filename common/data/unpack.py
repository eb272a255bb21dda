"""Unpacks an archive that nobody trusts: nothing outside its folder, no links, a bounded size."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Callable, Dict, Iterator, Optional

from common.core.errors import ZooError
from common.core.text import quoted
from common.data.catalogue import GZIP, TAR, ZIP
from common.data.progress import ByteProgress, bytes_text

BLOCK = 1 << 20
MEMBERS_AT_MOST = 1000000
LONGEST_NAME, DEEPEST = 255, 100  # bytes of a name, folders in one another
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)


@dataclass(frozen=True)
class FileFacts:
    """Size in bytes and sha256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive; kind says what it is where it is neither."""

    name: str
    is_folder: bool
    kind: str
    open: Callable[[], Any]


def unpack(
    archive: Path, packing: str, folder: Path, at_most: int, progress: Optional[ByteProgress] = None
) -> Dict[str, FileFacts]:
    """Unpacks an archive into an empty folder; returns what was written, by relative path.

    Owners, rights and times of the archive are not taken over.

    Args:
        packing: tar (compressed or not), zip or gz (one file, named without .gz).
        at_most: bytes that may be written.

    Raises:
        ZooError: the archive is damaged, or holds what it must not.
    """
    written: Dict[str, FileFacts] = {}
    left = at_most
    try:
        with open(str(archive), "rb") as stream:
            for count, member in enumerate(_MEMBERS[packing](archive, stream)):
                fault = _fault(member)
                if not fault and count >= MEMBERS_AT_MOST:
                    fault = f"more than {MEMBERS_AT_MOST:,} members"
                if fault:
                    raise _refused(archive, fault)
                name = str(PurePosixPath(member.name))  # "." for the folder itself
                if member.is_folder:
                    _make_folder(archive, member, folder / name)
                    continue
                written[name] = _write(archive, member, folder / name, left, at_most)
                left -= written[name].size
                if progress:
                    progress.at(stream.tell())
    except _DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:  # the machine's fault: a full disk, missing rights
            raise
        raise _damaged(archive, error) from error
    return written


def _damaged(archive: Path, error: Exception) -> ZooError:
    return ZooError(f"{archive}: a damaged archive ({error}); move it away and fetch it again")


def _refused(archive: Path, what: str) -> ZooError:
    return ZooError(
        f"{archive}: holds {what}; it is not unpacked: fetch it from a source you trust"
    )


def _fault(member: Member) -> str:
    """What speaks against a member; "" where it may be written."""
    name = member.name
    parts = PurePosixPath(name).parts
    leads_out = name.startswith("/") or "\\" in name or "\0" in name or ".." in parts
    if not name or leads_out or ":" in "".join(parts[:1]) or not (parts or member.is_folder):
        return f"the name {quoted(name)}, which leads out of its folder"
    if len(parts) > DEEPEST:
        return f"the name {quoted(name)}, of more than {DEEPEST} folders in one another"
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        return f"the name {quoted(name)}, which is longer than {LONGEST_NAME} bytes"
    return f"{quoted(name)}, which is {member.kind}" if member.kind else ""


def _make_folder(archive: Path, member: Member, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _refused(archive, f"the name {quoted(member.name)} twice") from None


def _write(archive: Path, member: Member, target: Path, left: int, at_most: int) -> FileFacts:
    _make_folder(archive, member, target.parent)
    digest, size = hashlib.sha256(), 0
    try:
        with member.open() as source, open(str(target), "xb") as written:
            for block in iter(lambda: source.read(BLOCK), b""):
                size += len(block)
                if size > left:
                    raise _refused(
                        archive, f"more than the {bytes_text(at_most)} it should unpack to"
                    )
                digest.update(block)
                written.write(block)
    except (FileExistsError, IsADirectoryError):
        raise _refused(archive, f"the name {quoted(member.name)} twice") from None
    return FileFacts(size, digest.hexdigest())


# --- the three kinds of archive ---


def _tar_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:*") as tar:
        for entry in tar:
            kind = "a link" if entry.issym() or entry.islnk() else "a device or pipe"
            kind = "" if entry.isdir() or entry.isreg() else kind
            yield Member(entry.name, entry.isdir(), kind, partial(tar.extractfile, entry))
        unpacked: Any = tar.fileobj
        while unpacked.read(BLOCK):  # the checksum of a compressed tar comes after its last member
            pass


def _zip_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as packed:
        for entry in packed.infolist():
            form = stat.S_IFMT(entry.external_attr >> 16)
            kind = "a link" if form == stat.S_IFLNK else "a device or pipe"
            kind = "" if form in (0, stat.S_IFREG, stat.S_IFDIR) else kind
            yield Member(
                entry.filename,
                entry.filename.endswith("/"),
                "encrypted" if entry.flag_bits & 1 else kind,
                partial(packed.open, entry),
            )


def _gzip_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    name = archive.name[: -len(".gz")]
    yield Member(name, False, "", lambda: gzip.GzipFile(fileobj=stream, mode="rb"))


_MEMBERS: Dict[str, Callable[[Path, IO[bytes]], Iterator[Member]]] = {
    TAR: _tar_members,
    ZIP: _zip_members,
    GZIP: _gzip_members,
}
