"""Reads a log of any known format: which format it is, then its series."""

from __future__ import annotations

import heapq
import json
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Match, Optional, Sequence, Tuple

from common.cards.line_template import EPOCH, ITERATION, ITERATIONS, STEP
from common.cards.log_format import LogFormat, read_format_file
from common.cards.model_folders import all_cards, checkout_root
from common.core.errors import UsageError, ZooError
from common.evidence.logs.following import Follower, Writers
from common.evidence.logs.lines import DeclaredLine, Values
from common.evidence.logs.series import ParsedLog, Restart, Series, joined
from common.evidence.logs.suggestion import Suggestion, suggestion_for
from common.evidence.logs.text import read_blocks

EVENTS_FORMAT = "run_log"
EVENTS_DESCRIPTION = "the structured events of one rank, metrics.jsonl: a JSON object a line"
_MOST_STEPS = 2**53


class UnknownFormatError(ZooError):
    """A file in no known format.

    Attributes:
        suggestion: some of its lines and a format to begin from.
    """

    def __init__(self, message: str, suggestion: Suggestion) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def known_formats(
    root: Optional[Path] = None, format_file: Optional[Path] = None
) -> Tuple[LogFormat, ...]:
    """Our own formats, those that the networks' cards declare, then those of a format file.

    Raises:
        ZooError: a card or the file is wrong, or two formats have one name.
    """
    found = list(read_format_file())
    declared = [
        (card.folder / "model.yaml", card.logs) for card in all_cards(root or checkout_root())
    ]
    if format_file is not None:
        declared.append((format_file, read_format_file(format_file)))
    for path, forms in declared:
        for form in forms:
            if form.name in [EVENTS_FORMAT] + [known.name for known in found]:
                raise ZooError(
                    f"{path}: the log format {form.name!r} is declared elsewhere already; give it "
                    "another name"
                )
            found.append(form)
    return tuple(found)


def read_log(
    path: Path,
    format: Optional[str] = None,
    formats: Optional[Sequence[LogFormat]] = None,
    rank: Optional[int] = None,
) -> ParsedLog:
    """Reads a log, plain or gzip, into its series, in one pass.

    Args:
        format: the format's name, None to find it out.
        formats: those to choose from beside our events, None for known_formats().
        rank: whose lines count where lines are marked with ranks, None for the lowest.

    Returns:
        at most 32 bytes a step for each series.

    Raises:
        ZooError: the file can't be read, is in no known format, or has no line of that rank.
    """
    path = Path(path)
    formats = known_formats() if formats is None else formats
    candidates = _candidates(format, formats, rank)
    reader: Optional[_Reader] = None
    notes: List[str] = []
    lines, block, suggestion = 0, b"\n", None
    for block in read_blocks(path, notes):
        block = block.replace(b"\r", b"\n")  # a progress bar's "\r" ends a line too
        lines += block.count(b"\n") + (not block.endswith(b"\n"))
        if reader is not None:
            reader.take(block)
            continue
        reader = _most_fitting(block, candidates)
        if reader is None and suggestion is None:
            suggestion = suggestion_for(block)
    if reader is None:
        names = ", ".join(reader().name for reader in candidates)
        raise UnknownFormatError(
            f"{path}: none of its {lines:,} lines is in a known format ({names}); a format can be "
            "declared, see docs/results.md",
            suggestion or suggestion_for(b""),
        )
    if rank is not None and rank not in reader.ranks:
        marked = ", ".join(map(str, sorted(reader.ranks))) or "no marked lines"
        raise ZooError(f"{path} has no line that is marked as rank {rank}'s; it has {marked}")
    if not block.endswith(b"\n"):
        notes.append("the last line has no end; a number that touches the end is not used")
    lives, restarts = reader.follower.lives(), reader.follower.writers.restarts()
    return ParsedLog(
        source=str(path),
        format=reader.name,
        series=_joined(lives, restarts),
        restarts=restarts,
        lives=tuple(lives),
        ranks=tuple(sorted(reader.ranks)),
        notes=tuple(notes + reader.notes() + list(_writer_notes(reader.follower.writers))),
        lines=lines,
    )


class _Reader:
    """Reads the blocks of one log in turn.

    Attributes:
        telling: how many values were read that tell of a training in this format.
        ranks: how many lines are marked as each rank's.
    """

    name: str
    follower: Follower
    telling = 0

    def __init__(self) -> None:
        self.ranks: Dict[int, int] = {}

    def take(self, text: bytes) -> None:
        """Reads one block."""
        raise NotImplementedError

    def notes(self) -> List[str]:
        """What was odd."""
        raise NotImplementedError


def _candidates(
    name: Optional[str], formats: Sequence[LogFormat], rank: Optional[int]
) -> List[Callable[[], _Reader]]:
    """What makes the readers of the formats to try; UsageError where the named one is unknown."""
    known: Dict[str, Callable[[], _Reader]] = {EVENTS_FORMAT: _EventReader}
    for form in formats:
        known[form.name] = lambda form=form: _LineReader(form, rank)  # type: ignore[misc]
    if name is None:
        return list(known.values())
    if name not in known:
        raise UsageError(f"there is no log format {name!r}; there are: {', '.join(known)}")
    return [known[name]]


def _most_fitting(block: bytes, candidates: Sequence[Callable[[], _Reader]]) -> Optional[_Reader]:
    """The reader that gets the most values out of a block; None where none gets any."""
    best: Optional[_Reader] = None
    for candidate in candidates:
        reader = candidate()
        reader.take(block)
        if reader.telling > (best.telling if best else 0):
            best = reader
    return best


class _LineReader(_Reader):
    """Reads declared lines."""

    def __init__(self, form: LogFormat, rank: Optional[int]) -> None:
        super().__init__()
        self.name, self.rank = form.name, rank
        self.follower = Follower(form.one_writer)
        self._lines = [DeclaredLine(rule) for rule in form.lines]
        self._first_epoch: Optional[int] = None
        self._epoch, self._iterations = 1, 0

    def take(self, text: bytes) -> None:
        for _, number, match in self._found(text):
            rank = self._lines[number].rank(text, match)
            if rank is not None:
                self.ranks[rank] = self.ranks.get(rank, 0) + 1
                if self.rank is None:
                    self.rank = self._lowest_rank(text)
                if rank != self.rank:
                    continue
            self._take(number, match)

    def _found(self, text: bytes) -> Iterator[Tuple[int, int, Match[bytes]]]:
        """The lines in their order: where each begins, which declared line it is, its match."""
        return heapq.merge(*(line.find(text, number) for number, line in enumerate(self._lines)))

    def _lowest_rank(self, text: bytes) -> int:
        ranks = [self._lines[number].rank(text, match) for _, number, match in self._found(text)]
        return min(rank for rank in ranks if rank is not None)

    def _take(self, number: int, match: Match[bytes]) -> None:
        line, follower = self._lines[number], self.follower
        if line.rule.restart:
            follower.writers.begin_again(line.place(match, STEP))
            return
        epoch = line.place(match, EPOCH)
        if epoch is not None and self._first_epoch is None:
            self._first_epoch = min(epoch, 1)
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
                follower.step_line(step, values)
            else:
                follower.other_line(step, values)
        else:
            if epoch is not None:
                follower.step = self._end_of(epoch)
            follower.other_line(follower.step, values)
        if not line.rule.closing:
            self.telling += len(values)

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

    @property
    def _counted_from(self) -> int:
        return 1 if self._first_epoch is None else self._first_epoch

    def _end_of(self, epoch: int) -> int:
        """The last step of an epoch; the step before where it is unknown."""
        end = (epoch - self._counted_from + 1) * self._iterations
        return end if 0 < end < _MOST_STEPS else self.follower.step

    def notes(self) -> List[str]:
        notes = []
        if self.ranks:
            notes.append(f"lines of ranks {_ranges(sorted(self.ranks))}; rank {self.rank} is read")
        if self._first_epoch == 0:
            notes.append("epochs are counted from zero: epoch 0 is the first")
        return notes


class _EventReader(_Reader):
    """Reads the events of a run, a JSON object a line."""

    name = EVENTS_FORMAT
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
        super().__init__()
        self.follower = Follower(one_writer=True)
        self._broken = 0

    def take(self, text: bytes) -> None:
        *lines, cut = text.split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            event = _event(line)
            if event is None:
                self._broken += 1
            else:
                self._take(event)

    def _take(self, event: Dict[str, Any]) -> None:
        kind, step = event["event"], _step(event.get("step"))
        if kind == "start":
            self.follower.writers.begin_again(_step(event.get("resumed_step")))
        if step is None:
            return
        if kind == "step":
            values = _numbers({self._STEP[name]: event.get(name) for name in self._STEP})
            self.follower.step_line(step, values)
        elif kind == "epoch":
            values = _numbers({"train_loss": event.get("train_loss")})
            self.follower.other_line(step, values)
        elif kind == "evaluation" and isinstance(event.get("metrics"), dict):
            prefix = "best_{}_" if event.get("role") == "best" else "{}_"
            metrics = _numbers(event["metrics"])
            prefix = prefix.format(event.get("split"))
            values = [(prefix + name, value) for name, value in metrics]
            self.follower.other_line(step, values)
        else:
            return
        self.telling += len(values)

    def notes(self) -> List[str]:
        return [f"{self._broken:,} line(s) are no events and are not read"] if self._broken else []


def _event(line: bytes) -> Optional[Dict[str, Any]]:
    if not line.startswith(b"{"):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _step(value: Any) -> Optional[int]:
    return value if type(value) is int and 0 <= value < _MOST_STEPS else None


def _numbers(values: Dict[str, Any]) -> Values:
    """The values that are numbers; NaN and infinities are texts in JSON."""
    return [
        (name, float(value))
        for name, value in values.items()
        if (type(value) in (int, float) and abs(value) < 1e308) or value in ("nan", "inf", "-inf")
    ]


def _joined(lives: Sequence[Dict[str, Series]], restarts: Sequence[Restart]) -> Dict[str, Series]:
    whole = dict(lives[0])
    for life, restart in zip(lives[1:], restarts):
        for name in whole:
            if name not in life:
                whole[name] = whole[name].before(restart.first_step)
        for name, part in life.items():
            whole[name] = joined(whole[name], part, restart.first_step) if name in whole else part
    return {name: series for name, series in whole.items() if len(series)}


def _writer_notes(writers: Writers) -> Iterator[str]:
    chain = writers.lives()
    for restart in writers.restarts():
        replaced = "; the earlier life's steps from there on are replaced"
        yield (
            f"the run began again at step {restart.first_step:,} after step {restart.after_step:,}"
            f"{replaced if restart.first_step <= restart.after_step else ''}"
        )
    others = [writer for number, writer in enumerate(writers.all) if number not in chain]
    if others:
        yield (
            f"not read: {sum(writer.rows for writer in others):,} step line(s) out of "
            f"order, the first at step {others[0].first_step:,}, where the run "
            "did not begin again (a step told twice, or another rank without a mark)"
        )
    if writers.unplaced:
        yield f"{writers.unplaced:,} step lines are too much out of order to be placed"


def _ranges(numbers: Sequence[int]) -> str:
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(str(number) for number in numbers)
