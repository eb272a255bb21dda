"""Users read one line and an exit code; programmers read a traceback."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.commands.program import COMMANDS, main
from common.core.codec import ContentError
from common.core.command_line import Parser, exit_code_of, number_in, of_the_machine
from common.core.errors import UsageError, ZooError


def raising(error: BaseException) -> Any:
    def run(argv: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    "error, code, text",
    [
        (ZooError("the folder\n is empty"), 1, "error: the folder is empty"),
        (UsageError("unknown flag"), 64, "error: unknown flag"),
        (OSError(errno.ENOSPC, "", "/full/x"), 3, "error: no space left on the disk of /full"),
        (OSError(errno.ENAMETOOLONG, "", "x" * 999), 3, "error: xxx"),
        (OSError(errno.EIO, "", "/bad/x"), 3, "error: /bad/x: its disk or network storage fails"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(error), []) == code
    printed = capsys.readouterr().err
    assert printed.startswith(text) and printed.count("\n") == 1


def test_each_mistake_of_a_file_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = ContentError("card.yaml", [("a.b", "is bad"), ("c", "is\nworse")])
    assert exit_code_of(raising(error), []) == 1
    assert capsys.readouterr().err == "error: card.yaml: a.b is bad\nerror: card.yaml: c is worse\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-", "> /dev/full"])
def test_output_that_cannot_be_written_ends_no_launch(closed: str, tmp_path: Path) -> None:
    """With a closed standard output the next file that is opened would be taken for it."""
    program = (
        "from common.core.command_line import run_program\n"
        "from common.core.terminal import Terminal\n"
        "def main(argv):\n"
        "    terminal, log = Terminal(), open('log', 'w')\n"
        "    terminal.say('said'); terminal.pass_on(b'passed'); terminal.complain('complained')\n"
        "    log.write('whole'); log.close(); return 7\n"
        "run_program(main, [])"
    )
    command = f'{sys.executable} -c "$0" {closed}'
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(["bash", "-c", command, program], cwd=str(tmp_path), env=environment)
    assert done.returncode == 7 and (tmp_path / "log").read_text() == "whole"


def test_debug_shows_the_traceback_an_error_of_the_program_keeps_it_and_ctrl_c_is_130(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exit_code_of(raising(ZooError("bad")), ["--debug"])
    printed = capsys.readouterr().err
    assert "Traceback" in printed and printed.endswith("error: bad\n")
    with pytest.raises(KeyError):
        exit_code_of(raising(KeyError("x")), [])
    assert exit_code_of(raising(KeyboardInterrupt()), []) == 130
    assert of_the_machine(OSError(errno.EBADF, "x")) is None  # no user can mend it


def test_a_parser_never_exits_by_itself_and_knows_hyphens_and_the_home() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--batch", type=number_in(int, 1, 8))
    parser.add_argument("--data_path")
    for words in (["--batch", "9"], ["--batch", "x"], ["--batc", "1"], ["extra"]):
        with pytest.raises(UsageError):
            parser.parse_args(words)
    with pytest.raises(UsageError, match="did you mean --batch"):
        parser.parse_args(["--bach=1"])
    assert parser.parse_args(["--data-path=~/x"]).data_path == os.path.expanduser("~/x")


AT_ONCE = """
import atexit
from common.core.command_line import end_at_once, run_program
atexit.register(lambda: print("handler"))
def main(argv):
    print("work")
    {}
    return 7
run_program(main, [])
"""


@pytest.mark.parametrize(
    "call, printed", [("end_at_once('x')", "work\n"), ("pass", "work\nhandler\n")]
)
def test_a_program_can_end_at_once_with_its_output_and_exit_code(call: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE.format(call)], stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (7, printed)


def test_help_names_every_command_and_each_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in COMMANDS:
        assert printed.count(f"  {name} ") == 2
        with pytest.raises(SystemExit) as caught:
            main([name, "--help"])
        assert caught.value.code == 0 and "usage: zoo " + name in capsys.readouterr().out
    assert main(["lunch"]) == 64
    assert "there is no command 'lunch'" in capsys.readouterr().err


def test_help_tells_a_default_once_and_only_one_that_says_something() -> None:
    parser = Parser(prog="tool")
    parser.add_argument("--window", type=int, default=50, help="samples")
    parser.add_argument("--margin", help="how much worse passes (default: the card's)")
    parser.add_argument("--run", action="append", default=[], help="a run")
    parser.add_argument("--debug", action="store_true", help="tell more")
    assert "samples (default: 50)" in parser.format_help()
    assert parser.format_help().count("(default") == 2


def test_help_takes_at_most_0_15_seconds_of_a_processor() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.check_output([sys.executable, "-m", "common", "--help"])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.15
