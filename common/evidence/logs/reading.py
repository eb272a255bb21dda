"""Reads a log of any known format: which format it is, then its series."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from common.cards.log_format import LogFormat, own_formats
from common.cards.model_folders import all_cards, checkout_root
from common.core.errors import UsageError, ZooError
from common.evidence.logs.blocks import Block, read_blocks
from common.evidence.logs.extraction import Extractor
from common.evidence.logs.growing import Collected
from common.evidence.logs.series import ParsedLog, Restart, Series, joined
from common.evidence.logs.writers import Writers


def known_formats(root: Optional[Path] = None) -> Tuple[LogFormat, ...]:
    """Our own formats, then those that the networks' cards declare.

    Raises:
        ZooError: a card is wrong, or two formats have one name.
    """
    found = list(own_formats())
    for card in all_cards(root or checkout_root()):
        for form in card.logs:
            if form.name in [known.name for known in found]:
                raise ZooError(
                    "{}: the log format {!r} is declared elsewhere already; give it "
                    "another name".format(card.folder / "model.yaml", form.name)
                )
            found.append(form)
    return tuple(found)


def format_named(name: str, formats: Sequence[LogFormat]) -> LogFormat:
    """A format by its name; UsageError lists those there are."""
    for form in formats:
        if form.name == name:
            return form
    raise UsageError(
        "there is no log format {!r}; there are: {}".format(
            name, ", ".join(form.name for form in formats)
        )
    )


def read_log(
    path: Path,
    format: Optional[str] = None,
    formats: Optional[Sequence[LogFormat]] = None,
    rank: Optional[int] = None,
) -> ParsedLog:
    """Reads a log, plain or gzip, into its series, in one pass.

    Args:
        format: the format's name, None to find it out.
        formats: those to choose from, None for known_formats().
        rank: whose lines count where lines are marked with ranks, None for the lowest.

    Returns:
        at most 32 bytes a step for each series.

    Raises:
        ZooError: the file can't be read, is in no known format, or has no line of that rank.
    """
    stream = LogStream(Path(path), format, formats, rank)
    collected = Collected()
    for block in stream.blocks():
        for rows in stream.extractor.rows(block):
            collected.add(rows)
    writers = stream.extractor.writers
    chain = writers.lives()
    lives = collected.lives(chain)
    restarts = restarts_of(writers, chain)
    return ParsedLog(
        source=str(path),
        format=stream.extractor.form.name,
        series=_joined(lives, restarts),
        restarts=restarts,
        lives=tuple(lives),
        ranks=tuple(sorted(stream.extractor.ranks)),
        notes=tuple(stream.all_notes()),
    )


class LogStream:
    """One pass over a log whose format is found out on the way; constant memory."""

    def __init__(
        self,
        path: Path,
        format: Optional[str] = None,
        formats: Optional[Sequence[LogFormat]] = None,
        rank: Optional[int] = None,
    ) -> None:
        self.path = path
        self.notes: List[str] = []
        self._formats = known_formats() if formats is None else tuple(formats)
        if format is not None:
            self._formats = (format_named(format, self._formats),)
        self._rank = rank
        self._found: Optional[Extractor] = None
        self.lines = 0
        self._cut = False

    @property
    def extractor(self) -> Extractor:
        """What reads the values; there is one when blocks() has ended."""
        assert self._found is not None
        return self._found

    def blocks(self) -> Iterator[Block]:
        """The blocks from the first one on that has a line of a known format.

        Raises:
            ZooError: there is none; the error says what was looked for.
        """
        for block in read_blocks(self.path, self.notes):
            self.lines += len(block.line_ends) + block.is_cut
            self._cut = block.is_cut
            if self._found is None:
                form = most_fitting(block, self._formats)
                if form is None:
                    continue
                self._found = Extractor(form, self._rank)
            yield block
        if self._found is None:
            raise ZooError(_nothing_known(self.path, self.lines, self._formats))
        if self._rank is not None and self._rank not in self.extractor.ranks:
            raise ZooError(
                "{} has no line that is marked as rank {}'s; it has {}".format(
                    self.path,
                    self._rank,
                    ", ".join(map(str, sorted(self.extractor.ranks))) or "no marked lines",
                )
            )

    def all_notes(self) -> Iterator[str]:
        """What was odd, when all is read."""
        yield from self.notes
        if self._cut:
            yield "the last line has no end; a number that touches the end is not used"
        if self.extractor.ranks:
            yield (
                f"lines of ranks {_ranges(sorted(self.extractor.ranks))}; rank "
                f"{self.extractor.rank} is read"
            )
        yield from _writer_notes(self.extractor.writers)


def most_fitting(block: Block, formats: Iterable[LogFormat]) -> Optional[LogFormat]:
    """The format that reads the most values out of a block; None where none reads any."""
    best, most = None, 0
    for form in formats:
        count = sum(len(rows.steps) for rows in Extractor(form).rows(block))
        if count > most:
            best, most = form, count
    return best


def _nothing_known(path: Path, lines: int, formats: Sequence[LogFormat]) -> str:
    return (
        "{}: none of its {:,} lines is in a known format; looked for {}; a network's card can "
        "declare another under logs:".format(
            path,
            lines,
            "; ".join(f"{form.name} ({_shortened(form.step_line.template)!r})" for form in formats),
        )
    )


def _shortened(template: str) -> str:
    return template.replace("{{", "{")[:60]


def restarts_of(writers: Writers, chain: Sequence[int]) -> Tuple[Restart, ...]:
    """Where each life after the first one begins."""
    return tuple(
        Restart(writers.all[later].counts_from, writers.all[earlier].last_step)
        for earlier, later in zip(chain, chain[1:])
    )


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
    for restart in restarts_of(writers, chain):
        yield "the run began again at step {:,} after step {:,}{}".format(
            restart.first_step,
            restart.after_step,
            "; the earlier life's steps from there on are replaced"
            if restart.first_step <= restart.after_step
            else "",
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
