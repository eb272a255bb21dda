"""Unpacks an archive that nobody trusts: nothing outside its folder, no links, a bounded size."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Callable, Dict, Iterator, Optional

from common.core.errors import ZooError
from common.data.catalogue import GZIP, TAR, ZIP
from common.data.progress import ByteProgress, bytes_text

BLOCK = 1 << 20
MEMBERS_AT_MOST = 1000000
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
    open: Callable[[], IO[bytes]]


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
    try:
        with open(str(archive), "rb") as stream:
            return _write_members(
                archive, _MEMBERS[packing](archive, stream), stream, folder, at_most, progress
            )
    except _DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:  # the machine's fault: a full disk, missing rights
            raise
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> ZooError:
    return ZooError(f"{archive}: a damaged archive ({error}); move it away and fetch it again")


def _write_members(
    archive: Path,
    members: Iterator[Member],
    stream: IO[bytes],
    folder: Path,
    at_most: int,
    progress: Optional[ByteProgress],
) -> Dict[str, FileFacts]:
    written: Dict[str, FileFacts] = {}
    left = at_most
    for count, member in enumerate(members):
        target = folder / checked_name(archive, member)
        if count >= MEMBERS_AT_MOST:
            raise _refused(archive, f"more than {MEMBERS_AT_MOST:,} members")
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        facts = _write(archive, member, target, left, at_most)
        left -= facts.size
        written[str(PurePosixPath(member.name))] = facts
        if progress:
            progress.at(stream.tell())
    return written


def checked_name(archive: Path, member: Member) -> str:
    """The member's name, which stays below the folder.

    Raises:
        ZooError: the name leads out of the folder, or the member is neither file nor folder.
    """
    name = member.name
    if (
        not name
        or name.startswith("/")
        or "\\" in name
        or "\0" in name
        or ".." in PurePosixPath(name).parts
        or ":" in PurePosixPath(name).parts[0]
    ):
        raise _refused(archive, f"the name {name!r}, which leads out of its folder")
    if member.kind:
        raise _refused(archive, f"{name!r}, which is {member.kind}")
    return name


def _write(archive: Path, member: Member, target: Path, left: int, at_most: int) -> FileFacts:
    target.parent.mkdir(parents=True, exist_ok=True)
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
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _refused(archive, f"the name {member.name!r} twice") from None
    return FileFacts(size, digest.hexdigest())


def _refused(archive: Path, what: str) -> ZooError:
    return ZooError(
        f"{archive}: holds {what}; it is not unpacked: fetch it from a source you trust"
    )


# --- the three kinds of archive ---


def _tar_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:*") as tar:
        for entry in tar:
            yield Member(entry.name, entry.isdir(), _tar_kind(entry), _tar_opener(tar, entry))
        unpacked: Any = tar.fileobj
        while unpacked.read(BLOCK):  # the checksum of a compressed tar comes after its last member
            pass


def _tar_opener(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def open_member() -> IO[bytes]:
        stream = tar.extractfile(entry)
        assert stream is not None  # it is one only for links and devices
        return stream

    return open_member


def _tar_kind(entry: tarfile.TarInfo) -> str:
    if entry.isdir() or entry.isreg():
        return ""
    return "a link" if entry.issym() or entry.islnk() else "a device or pipe"


def _zip_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as packed:
        for entry in packed.infolist():
            yield Member(
                entry.filename,
                entry.filename.endswith("/"),
                _zip_kind(entry),
                _zip_opener(packed, entry),
            )


def _zip_opener(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: packed.open(entry)


def _zip_kind(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & 1:
        return "encrypted"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind in (0, stat.S_IFREG, stat.S_IFDIR):
        return ""
    return "a link" if kind == stat.S_IFLNK else "a device or pipe"


def _gzip_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    def open_member() -> Any:
        return gzip.GzipFile(fileobj=stream, mode="rb")

    yield Member(archive.name[: -len(".gz")], False, "", open_member)


_MEMBERS: Dict[str, Callable[[Path, IO[bytes]], Iterator[Member]]] = {
    TAR: _tar_members,
    ZIP: _zip_members,
    GZIP: _gzip_members,
}
