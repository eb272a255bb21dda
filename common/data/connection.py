"""Asks a web server for a file from some byte on; what goes wrong is told in a few words."""

from __future__ import annotations

import dataclasses
import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from typing import IO, Any, Optional
from urllib.parse import urlsplit

TIMEOUT = 30.0  # seconds without a byte
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class TransferError(Exception):
    """A transfer that failed, in a few words; temporary where trying again may help."""

    def __init__(self, reason: str, temporary: bool = False) -> None:
        super().__init__(reason)
        self.temporary = temporary


@dataclasses.dataclass
class Answer:
    """What a server answers.

    Attributes:
        stream: the bytes, from `start` on; None where the server has none past the asked start.
        start: the position of the first byte in the file.
        total: bytes of the whole file, None where the server doesn't say.
        validator: the mark of this version of the file, fit for If-Range; "" where there is none.
    """

    stream: Optional[Any]
    start: int
    total: Optional[int]
    validator: str


def ask(url: str, start: int = 0, validator: str = "", timeout: float = TIMEOUT) -> Answer:
    """Asks for a file from byte `start` on.

    Args:
        validator: of the version that the bytes before `start` are of; a server that has another
            one by now answers from byte 0.

    Raises:
        TransferError: no answer, or an answer that is not the file.
    """
    headers = {"User-Agent": "attention-modelzoo", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if start and validator:
        headers["If-Range"] = validator
    try:
        response = _opener(url).open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return Answer(None, start, _range(error.headers)[1], "")
        raise TransferError(
            f"the server answers {error.code} {error.reason}", error.code in _TEMPORARY
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise told(error) from error
    return _answer(response)


def _answer(response: Any) -> Answer:
    headers = response.headers
    validator = _validator(headers)
    if response.status == 206:
        start, total = _range(headers)
        if start is None:
            raise TransferError("the server answers a range without saying which")
        return Answer(response, start, total, validator)
    length = headers.get("Content-Length", "")
    return Answer(response, 0, int(length) if length.isdigit() else None, validator)


def read_some(stream: IO[bytes], at_most: int) -> bytes:
    """The bytes that have come, at most so many; empty at the end.

    Raises:
        TransferError: the connection broke.
    """
    try:
        read = getattr(stream, "read1", stream.read)
        return bytes(read(at_most))
    except (OSError, http.client.HTTPException) as error:
        raise told(error) from error


def told(error: Exception) -> TransferError:
    """A network error in a few words."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, socket.gaierror):
        return TransferError("the host is not found (no network, or no name server)")
    if isinstance(reason, ssl.SSLError) and "CERTIFICATE" in str(reason):
        return TransferError(
            "the server's certificate is not trusted; SSL_CERT_FILE can name "
            "the certificates of your proxy"
        )
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return TransferError(f"nothing came for {TIMEOUT:.0f} seconds")
    if isinstance(reason, ConnectionRefusedError):
        return TransferError("the connection is refused")
    if isinstance(reason, (ConnectionError, http.client.HTTPException)):
        return TransferError("the connection was cut")
    return TransferError(str(reason) or type(reason).__name__)


def _range(headers: Any) -> Any:
    """First byte and size of the whole file, None for what Content-Range doesn't say."""
    match = _CONTENT_RANGE.match(headers.get("Content-Range") or "")
    if not match:
        return None, None
    return tuple(int(text) if text and text.isdigit() else None for text in match.groups())


def _validator(headers: Any) -> str:
    """A strong ETag, else the time of the last change: what If-Range takes."""
    tag = headers.get("ETag") or ""
    return str(headers.get("Last-Modified") or "") if not tag or tag.startswith("W/") else str(tag)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to anything else."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise TransferError(f"the server redirects from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """An opener for http and https alone: no file:, no ftp:."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise TransferError("only http and https are spoken")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _SafeRedirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
