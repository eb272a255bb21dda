"""Turns what a program raises into what a user reads: one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, List, NoReturn, Optional, Sequence

from common.core.errors import InfrastructureError, UsageError, ZooError
from common.core.text import shortened

INTERRUPTED_EXIT_CODE = 130
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class _Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default that says something, unless the help tells it."""

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        told = "(default" in (action.help or "")
        nothing = action.default in (None, False) or action.default == []
        return action.help if told or nothing else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError (exit code 64) in place of exiting with 2.

    Hyphens and underscores in a flag's name are alike, --flag=~/x is in the user's home (which a
    shell leaves to the program), and an unknown flag is told the nearest known.
    """

    def __init__(self, *positional: object, **named: object) -> None:
        named.setdefault("allow_abbrev", False)
        named.setdefault("formatter_class", _Defaults)
        super().__init__(*positional, **named)  # type: ignore[arg-type]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; UsageError for what is no flag of this program."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self.nearest(unknown[0])}")
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, with words as the flags are declared."""
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args([self._as_declared(word) for word in words], namespace)

    def _as_declared(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if not name.startswith("--"):
            return word
        other = "--" + name[2:].replace("-", "_")
        name = other if other in self._option_string_actions else name
        return name + equals + (os.path.expanduser(value) if value.startswith("~") else value)

    def nearest(self, word: str) -> str:
        """What to say of an unknown flag: "; did you mean --seed?", or nothing."""
        name = word.partition("=")[0].replace("-", "_").replace("__", "--", 1)
        near = difflib.get_close_matches(name, list(self._option_string_actions), n=1)
        return f"; did you mean {near[0]}?" if near and word.startswith("--") else ""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --debug, which shows the traceback behind a one-line error."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def boolean(text: str) -> bool:
    """The type of an argument that takes true or false, as the ModelZoo's scripts spell them."""
    if text.lower() not in TRUTHS:
        raise argparse.ArgumentTypeError(f"expected true or false, not {text!r}")
    return TRUTHS[text.lower()]


def number_in(
    kind: Callable[[str], float],
    low: float,
    high: Optional[float] = None,
    low_is_legal: bool = True,
) -> Callable[[str], float]:
    """Returns an argument type that checks the range and says it in the error.

    Args:
        kind: int or float.
        low: the smallest legal value (the largest illegal one where low_is_legal is False).
        high: the largest legal value, None for no limit.
    """

    lower = f"{'at least' if low_is_legal else 'more than'} {low:g}"
    allowed = lower if high is None else f"{lower} and at most {high:g}"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            name = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {name}, not {text!r}") from None
        above = value >= low if low_is_legal else value > low
        if not above or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"expected {allowed}, not {text}")
        return value

    return parse


def file_to_write(text: str) -> Path:
    """The type of an argument that names a file to write: the folder that it is in must exist."""
    path = Path(text)
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    if not os.path.isdir(str(path.parent)):
        raise argparse.ArgumentTypeError(
            f"there is no folder {path.parent}; make it, or give another path"
        )
    return path


def run_program(
    main: Callable[[Optional[Sequence[str]]], Optional[int]], argv: Optional[Sequence[str]] = None
) -> NoReturn:
    """Runs main(argv) and exits: 0, or an error's own code after one line on standard error."""
    code = exit_code_of(main, argv)
    if _ENDS_AT_ONCE:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


_ENDS_AT_ONCE: List[str] = []


def end_at_once(reason: str) -> None:
    """Lets run_program end the process without exit handlers and destructors.

    Args:
        reason: the library whose threads would abort the process there.
    """
    _ENDS_AT_ONCE.append(reason)


def exit_code_of(
    main: Callable[[Optional[Sequence[str]]], Optional[int]], argv: Optional[Sequence[str]] = None
) -> int:
    """Runs main(argv); returns its exit code, with errors a user can mend told in one line.

    The traceback is shown with --debug, for errors of the program itself always.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    try:
        return main(arguments) or 0
    except ZooError as error:
        return _tell(error, error.exit_code, arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        known = of_the_machine(error)
        if known is None:
            raise
        return _tell(known, known.exit_code, arguments)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE


def _open_streams() -> None:
    """Lets no closed stream end a program, nor a character that the terminal's encoding lacks."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # `>&-`: it takes the number, which no other file then gets
        setattr(sys, name, open(number, "w" if number else "r"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def of_the_machine(error: OSError) -> Optional[ZooError]:
    """The one-line form of an operating-system error that a user can mend, else None."""
    where = error.filename or "a file"
    remedies = {
        errno.ENOSPC: "no space left on the disk of {}; free some or give another --output_path",
        errno.EDQUOT: "the disk quota of {} is used up; free some or give another --output_path",
        errno.EIO: "{}: its disk or network storage fails (input/output error); give another path",
        errno.EROFS: "{} is on a read-only file system; give another path",
        errno.EACCES: "no permission for {}; change its rights or give another path",
        errno.ENOENT: "{} does not exist; check the path",
        errno.ENOTDIR: "a part of {} is a file, not a folder; check the path",
        errno.EISDIR: "{} is a folder where a file is needed; check the path",
        errno.ENAMETOOLONG: "{} has a longer name than the file system takes; give another path",
        errno.ELOOP: "{} is a loop of links; check the path",
        errno.EADDRINUSE: "the network port is in use ({}); give another --master_port",
    }
    if error.errno not in remedies:
        return None
    return InfrastructureError(remedies[error.errno].format(shortened(str(where), 200)))


def print_verdict(text: str) -> None:
    """Prints a result whose exit code holds though nobody reads it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def without_verdict(error: Exception, program: str) -> ZooError:
    """The error to raise where exit code 1 is a verdict that nobody has come to.

    Args:
        program: whose verdict it would be.
    """
    if isinstance(error, ZooError):
        plain = error.exit_code == ZooError.exit_code
        return InfrastructureError("\n".join(error.lines)) if plain else error
    if isinstance(error, OSError):
        return of_the_machine(error) or InfrastructureError(str(error))
    traceback.print_exc()  # a mistake of this program
    return InfrastructureError(
        f"{program} itself failed ({type(error).__name__}); nothing is said of the runs"
    )


def _tell(error: ZooError, code: int, arguments: Sequence[str]) -> int:
    if "--debug" in arguments:
        traceback.print_exc()
    sys.stdout.flush()
    for line in error.lines:
        print(f"error: {line}", file=sys.stderr, flush=True)
    return code
