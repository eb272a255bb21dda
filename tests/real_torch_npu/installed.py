"""The installed torch_npu and its stub libraries, beside the running Python's environment.

`python -m tests.real_torch_npu.installed` makes them (97 MB from the package index; a C compiler
and nm), and ends with 1 and one line where that can't be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterable, List, Set

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = Path(sys.prefix).resolve().parent / "torch_npu"
STUBS = FOLDER / "stubs"
RELEASE = "2.13.0"
_DATA = ("_ZTV", "_ZTI", "_ZTS", "_ZTT")  # tables and type names of C++ classes
_ANSWER = re.compile(r"^[a-z].*?[ *](\w+)\(", re.MULTILINE)


def is_ready() -> bool:
    """Whether both are there for this Python, of the stubs' answers as they are now."""
    if sys.version_info < (3, 9):  # an environment beside it has another torch
        return False
    made, answers = STUBS / "stubs.c", (HERE / "answers.c").read_text(encoding="utf-8")
    built = (FOLDER / "torch_npu").is_dir() and (STUBS / "libascendcl.so").is_file()
    return built and made.read_text(encoding="utf-8").startswith(answers)


def make() -> None:
    """Installs torch_npu and builds the stubs, where they are missing.

    Raises:
        RuntimeError: it can't be had, or there is no compiler.
    """
    if not (FOLDER / "torch_npu").is_dir():
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
             + [str(FOLDER), f"torch_npu=={RELEASE}"])  # fmt: skip
    if not is_ready():
        _build()


def _build() -> None:
    import torch

    own = sorted((FOLDER / "torch_npu").glob("lib/*.so")) + sorted(
        (FOLDER / "torch_npu").glob("*.so")
    )
    others = sorted((Path(torch.__file__).parent / "lib").glob("*.so*"))
    system = re.findall(r"(/\S+\.so\S*) \(0x", _run(["ldd"] + [str(path) for path in own]))
    missing = _symbols(own, "--undefined-only") | _looked_up(own)
    missing -= _symbols([*own, *others, *map(Path, sorted(set(system)))], "--defined-only")
    answers = (HERE / "answers.c").read_text(encoding="utf-8")
    lines = [
        f"long {name}[64];" if name.startswith(_DATA) else f"long {name}(void) {{ return 0; }}"
        for name in sorted(missing - set(_ANSWER.findall(answers)))
        if not name.startswith(("__", "_ITM", "_ZTH", "Py", "_Py"))
    ]
    STUBS.mkdir(exist_ok=True)
    source = STUBS / "stubs.c"
    source.write_text(answers + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    built = STUBS / "built.so"
    _run(["cc", "-shared", "-fPIC", "-w", "-O1", "-o", str(built), str(source)])
    for name in _needed(own, own + others):
        shutil.copy(str(built), str(STUBS / name))


def _symbols(files: Iterable[Path], which: str) -> Set[str]:
    text = _run(["nm", "-D", which] + [str(path) for path in files])
    return {
        line.split()[-1].split("@")[0]
        for line in text.splitlines()
        if line.endswith(":") is False and line.split()
    }


def _looked_up(files: Iterable[Path]) -> Set[str]:
    """Functions that are found by their names at run time, as those of newer CANN are."""
    return {
        name.decode()
        for path in files
        for name in re.findall(
            rb"\0((?:acl|aclrt|aclop|aclmdl|Hccl)[A-Z]\w+)(?=\0)", path.read_bytes()
        )
    }


def _needed(own: List[Path], known: List[Path]) -> Set[str]:
    """The libraries that only CANN has."""
    text = _run(["readelf", "-d"] + [str(path) for path in own])
    wanted = set(re.findall(r"\(NEEDED\).*\[(\w+\.so)\]", text))
    return wanted - {path.name for path in known}


def _run(words: List[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        raise RuntimeError(f"{words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise RuntimeError(
            "{}: {}".format(words[0], (done.stderr.strip().splitlines() or ["failed"])[-1])
        )
    return done.stdout


if __name__ == "__main__":
    try:
        make()
    except RuntimeError as problem:
        print(f"no real torch_npu {RELEASE}: {problem}", file=sys.stderr)
        sys.exit(1)
    print(os.fspath(FOLDER))
