"""Reads a log of any known format, a run folder or a record into series."""

from __future__ import annotations

import codecs
import dataclasses
import functools
import gzip
import os
import re
import zlib
from pathlib import Path
from typing import (
    IO,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Match,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from common.cards.log_format import (
    EPOCH,
    ITERATION,
    ITERATIONS,
    OWN_FORMATS,
    STEP,
    LogFormat,
    read_format_file,
)
from common.cards.model_folders import all_cards, checkout_root
from common.core.errors import UsageError, ZooError
from common.core.text import listed
from common.evidence.logs.lines import DeclaredLine, Values, suggestion_for
from common.evidence.logs.series import Observations, ParsedLog
from common.runs import store
from common.runs.events import decoded

EVENTS_FORMAT = "run_log"
EVENTS_DESCRIPTION = "the structured events of one rank, metrics.jsonl: a JSON object a line"
_MOST_STEPS = 2**53
BLOCK = 1 << 18
# Real logs come down to a twentieth; what unpacks to far more than that is made to.
_MOST_TIMES, _FROM_BYTES = 200, 1 << 26
_NO_TEXT = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"7z\xbc\xaf": "a 7z archive",
}
# Colours and cursor moves, titles of the window, other two-byte codes; none can be read two ways.
_TERMINAL_CODES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DEHMNOZc])"
)


class UnknownFormatError(ZooError):
    """A file in no known format.

    Attributes:
        suggestion: some of its lines, and a format to begin from.
    """

    suggestion = ""


def known_formats(
    root: Optional[Path] = None, format_file: Optional[Path] = None
) -> Tuple[LogFormat, ...]:
    """Our own formats, those that the networks' cards declare, then those of a format file.

    Raises:
        ZooError: a card or the file is wrong, or two formats have one name.
    """
    cards = all_cards(root or checkout_root())
    declared = [(OWN_FORMATS, read_format_file())]
    declared += [(card.folder / "model.yaml", card.logs) for card in cards]
    if format_file is not None:
        declared.append((format_file, read_format_file(format_file)))
    found: Dict[str, LogFormat] = {}
    for path, forms in declared:
        for form in forms:
            if form.name in found or form.name == EVENTS_FORMAT:
                raise ZooError(
                    f"{path}: there is a log format {form.name!r} already; give it another name"
                )
            found[form.name] = form
    return tuple(found.values())


def read_log(
    path: Path,
    format: Optional[str] = None,
    formats: Optional[Sequence[LogFormat]] = None,
    rank: Optional[int] = None,
) -> ParsedLog:
    """Reads a log, plain or gzip, into its series, in one pass.

    Args:
        format: the format's name, None for the one that gets the most values out of the beginning.
        formats: those to choose from beside our events, None for known_formats().
        rank: whose lines count where lines are marked with ranks, None for the lowest.

    Raises:
        ZooError: the file can't be read, is in no known format, or has no line of that rank.
    """
    path = Path(path)
    makers: Dict[str, Callable[[], _Reader]] = {EVENTS_FORMAT: _EventReader}
    for form in known_formats() if formats is None else formats:
        makers[form.name] = functools.partial(_LineReader, form, rank)
    names = ", ".join(makers)
    if format is not None:
        if format not in makers:
            raise UsageError(f"there is no log format {format!r}; there are: {names}")
        makers, names = {format: makers[format]}, format
    name, reader = "", None
    notes: List[str] = []
    lines, block, suggestion = 0, b"\n", ""
    for block in read_blocks(path, notes):
        block = block.replace(b"\r", b"\n")  # a progress bar's "\r" ends a line too
        lines += block.count(b"\n") + (not block.endswith(b"\n"))
        if reader is not None:
            reader.take(block)
            continue
        most = 0
        for candidate, make in makers.items():
            tried = make()
            tried.take(block)
            if tried.found.telling > most:
                name, reader, most = candidate, tried, tried.found.telling
        if reader is None and not suggestion:
            suggestion = suggestion_for(block)
    if reader is None:
        error = UnknownFormatError(
            f"{path}: none of its {lines:,} lines is in a known format ({names}); "
            "a format can be declared, see docs/results.md"
        )
        error.suggestion = suggestion or suggestion_for(b"")
        raise error
    if rank is not None and rank not in reader.ranks:
        marked = ", ".join(map(str, sorted(reader.ranks))) or "no marked lines"
        raise ZooError(f"{path} has no line that is marked as rank {rank}'s; it has {marked}")
    if not block.endswith(b"\n"):
        notes.append("the last line has no end; a number that touches the end is not used")
    parsed = reader.found.parsed(str(path), name)
    told = (*notes, *reader.notes(), *parsed.notes)
    return dataclasses.replace(parsed, ranks=tuple(sorted(reader.ranks)), notes=told, lines=lines)


def series_of_record(path: Path) -> ParsedLog:
    """The series of a run folder, its record.json, or a record of results/.

    The events beside it are read.

    Raises:
        ZooError: it is none of these, or has no events.
    """
    path = Path(path)
    events = store.files_of(path).events
    if not os.path.isfile(events):
        raise ZooError(f"{path} is not a run folder, nor a record beside its events {events.name}")
    return dataclasses.replace(read_log(events, EVENTS_FORMAT, ()), source=str(path))


def is_record(path: Path) -> bool:
    """Whether a path is a run folder or a record, and not a log."""
    return os.path.isdir(path) or path.suffix == ".json"


# --- a log as blocks of whole lines ---


def read_blocks(path: Path, notes: List[str], size: int = BLOCK) -> Iterator[bytes]:
    """The text of a log, plain or gzip, in one pass: whole lines, ended by "\\n" or "\\r".

    Only the last block may end without a line's end. UTF-16, as some terminals save a log, becomes
    UTF-8; other bytes are left as they are.

    Args:
        notes: gets a line for what is wrong with the file but can be read over.

    Raises:
        ZooError: the file can't be opened, or is no text.
    """
    rest, decoder = b"", None
    try:
        with open(str(path), "rb") as stream:
            for number, data in enumerate(_unpacked(stream, path, notes, size)):
                if number == 0:
                    kinds = [kind for begin, kind in _NO_TEXT.items() if data.startswith(begin)]
                    if kinds or data[257:262] == b"ustar":
                        kind = (kinds or ["a tar archive"])[0]
                        raise ZooError(f"{path} is {kind}, not a log; unpack it, give the file")
                    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                        decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
                rest += data if decoder is None else decoder.decode(data).encode("utf-8", "replace")
                if len(rest) < size:
                    continue
                cut = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1
                if cut:
                    yield without_codes(rest[:cut])
                    rest = rest[cut:]
                elif len(rest) > 32 * size:
                    yield without_codes(rest) + b"\n"
                    rest = b"x"  # what goes on here begins no line
    except OSError as error:
        raise ZooError(f"can't read the log {path}: {error.strerror or error}") from error
    if rest:
        yield without_codes(rest)


def without_codes(text: bytes) -> bytes:
    """A text without terminal codes, with "\\n" in place of "\\r\\n"."""
    if b"\x1b" in text:
        text = _TERMINAL_CODES.sub(b"", text)
    return text.replace(b"\b", b"").replace(b"\r\n", b"\n")


def _unpacked(stream: IO[bytes], path: Path, notes: List[str], size: int) -> Iterator[bytes]:
    """The bytes of the file, of all members of a gzip file as far as it goes."""
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not packed:
        yield from iter(lambda: stream.read(size), b"")
        return
    unpacked, total = gzip.GzipFile(fileobj=stream), 0
    try:
        for data in iter(lambda: unpacked.read1(size), b""):
            total += len(data)
            if total > max(_FROM_BYTES, _MOST_TIMES * stream.tell()):
                raise ZooError(
                    f"{path} unpacks to more than {_MOST_TIMES} times its size, which no log "
                    "does; unpack it first if it is one"
                )
            yield data
    except (EOFError, OSError, zlib.error) as error:
        what = "it ends early" if isinstance(error, EOFError) else error
        notes.append(f"the gzip file is damaged ({what}); read as far as it goes")


# --- the readers of lines and of events ---


class _LineReader:
    """Reads declared lines, a block at a time.

    Attributes:
        ranks: those that lines are marked with.
    """

    def __init__(self, form: LogFormat, rank: Optional[int]) -> None:
        self.found = Observations(form.one_writer)
        self.ranks: Set[int] = set()
        self._rank = rank
        self._lines = [DeclaredLine(rule) for rule in form.lines]
        self._epoch, self._iterations = 1, 0
        self._counted_from, self._epochs_told = 1, False

    def take(self, text: bytes) -> None:
        """Reads one block."""
        found: List[Tuple[int, int, Match[bytes]]] = sorted(
            (match.start(), number, match)
            for number, line in enumerate(self._lines)
            for match in line.find(text)
        )
        ranks = [self._lines[number].rank(text, match) for _, number, match in found]
        marked = {rank for rank in ranks if rank is not None}
        if marked and self._rank is None:
            self._rank = min(marked)
        self.ranks |= marked
        for (_, number, match), rank in zip(found, ranks):
            if rank is None or rank == self._rank:
                self._take(number, match)

    def _take(self, number: int, match: Match[bytes]) -> None:
        line, found = self._lines[number], self.found
        if line.rule.restart:
            found.begin(line.place(match, STEP))
            return
        epoch = line.place(match, EPOCH)
        if epoch is not None and not self._epochs_told:
            self._counted_from, self._epochs_told = min(epoch, 1), True
        if line.begins_epoch:
            self._epoch = epoch or 0
            return
        values = line.values(match)
        if number == 0 or line.tells_step:
            step = self._told_step(line, match, epoch)
            if step is None:
                return
            if number == 0:
                self._iterations = line.place(match, ITERATIONS) or 0
                found.step_line(step, values)
            else:
                found.put(step, values)
        else:
            if epoch is not None:  # the last step of an epoch, or the step before
                end = (epoch - self._counted_from + 1) * self._iterations
                found.step = end if 0 < end < _MOST_STEPS else found.step
            found.put(found.step, values)
        if not line.rule.closing:
            found.telling += len(values)

    def _told_step(
        self, line: DeclaredLine, match: Match[bytes], epoch: Optional[int]
    ) -> Optional[int]:
        """The step that a line tells; None where its numbers make none."""
        step = line.place(match, STEP)
        if step is not None:
            return step
        iteration, iterations = line.place(match, ITERATION), line.place(match, ITERATIONS)
        assert iteration is not None and iterations is not None
        before = (self._epoch if epoch is None else epoch) - self._counted_from
        step = before * iterations + iteration
        return step if before >= 0 and iteration <= iterations and step < _MOST_STEPS else None

    def notes(self) -> Iterator[str]:
        """What was odd."""
        if self.ranks:
            yield f"lines of ranks {listed(sorted(self.ranks))}; rank {self._rank} is read"
        if self._counted_from == 0:
            yield "epochs are counted from zero: epoch 0 is the first"


class _EventReader:
    """Reads the events of a run, a JSON object a line."""

    # By an event's field the name of its series.
    _STEP = {
        "time": "unix_time",
        "epoch": "epoch",
        "loss": "loss",
        "learning_rate": "learning_rate",
        "seconds": "step_seconds",
        "data_seconds": "data_seconds",
        "samples": "samples",
    }

    def __init__(self) -> None:
        self.found = Observations(one_writer=True)
        self.ranks: Set[int] = set()
        self._broken = 0

    def take(self, text: bytes) -> None:
        """Reads one block."""
        for line in filter(None, text.split(b"\n")[:-1]):  # the last one is empty, or cut
            event = decoded(line) if line.startswith(b"{") else None
            if event is not None:
                self._take(event)
            elif line.strip():
                self._broken += 1

    def _take(self, event: Dict[str, Any]) -> None:
        kind, step, found = event["event"], _step(event.get("step")), self.found
        values: Values = []
        if kind == "start":
            found.begin(_step(event.get("resumed_step")))
        elif step is None:
            return
        elif kind == "step":
            values = list(_numbers({self._STEP[name]: event.get(name) for name in self._STEP}))
            found.step_line(step, values)
        elif kind == "epoch":
            values = list(_numbers({"train_loss": event.get("train_loss")}))
        elif kind == "evaluation" and isinstance(event.get("metrics"), dict):
            prefix = "best_" * (event.get("role") == "best") + f"{event.get('split')}_"
            values = [(prefix + name, value) for name, value in _numbers(event["metrics"])]
        if kind != "step":
            found.put(step or 0, values)
        found.telling += len(values)

    def notes(self) -> Iterator[str]:
        """What was odd."""
        if self._broken:
            yield f"{self._broken:,} line(s) are no events and are not read"


_Reader = Union[_LineReader, _EventReader]


def _step(value: Any) -> Optional[int]:
    return value if type(value) is int and 0 <= value < _MOST_STEPS else None


def _numbers(values: Dict[str, Any]) -> Iterator[Tuple[str, float]]:
    """The values that are numbers; NaN and infinities are texts in JSON."""
    for name, value in values.items():
        finite = type(value) in (int, float) and abs(value) < 1e308
        if finite or value in ("nan", "inf", "-inf"):
            yield name, float(value)
