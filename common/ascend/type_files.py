"""Checks of the two files that pin operations' types on an NPU: customize_dtypes, modify_mixlist.

CANN reads them when the first graph is compiled, minutes after the start, and some mistakes not at
all.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Sequence

from common.core.errors import UsageError, ZooError

LISTS = ("black-list", "white-list", "gray-list")
CHANGES = ("to-add", "to-remove")
_DTYPES = r"\w*(?:,\w*)*?"
# By type, or by an operation's name; an empty place leaves a type as it is.
_LINE = re.compile(
    r"(?:OpType::[^:\s]+:|[^:\s]+::)"
    rf"(?:InputDtype:{_DTYPES},OutputDtype:{_DTYPES}|(?:Input|Output)Dtype:{_DTYPES})"
)
_LONGEST_LINE = 1023  # characters that CANN reads
_EXAMPLE = "OpType::MatMulV2:InputDtype:float16,float16,float32,OutputDtype:float32"


def check_customize_dtypes(path: str, precision_mode: str) -> None:
    """Checks the file, and the precision mode it is given with.

    Raises:
        UsageError: the mode keeps every type, so that the file would have no effect.
        ZooError: the file can't be read or a line has another form.
    """
    if precision_mode == "must_keep_origin_dtype":
        raise UsageError(
            "--customize_dtypes has no effect with --precision_mode must_keep_origin_dtype; leave "
            "it out, or give another mode"
        )
    lines = _text(path, "--customize_dtypes").splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) > _LONGEST_LINE or not _LINE.fullmatch(line):
            raise ZooError(
                f"--customize_dtypes {path}, line {number}: not of the form {_EXAMPLE} (or "
                f"<name of an operation>::InputDtype:…), at most {_LONGEST_LINE} characters"
            )
    if not lines:
        raise ZooError(f"--customize_dtypes {path} names no operation; leave the flag out")


def check_modify_mixlist(path: str, precision_mode: str) -> None:
    """Checks the file, and the precision mode it is given with.

    Raises:
        UsageError: the mode is not a mixed one, which CANN refuses.
        ZooError: the file can't be read or has another form.
    """
    if "mix" not in precision_mode:
        raise UsageError(
            "--modify_mixlist needs a mixed --precision_mode such as "
            f"allow_mix_precision, not {precision_mode}"
        )
    try:
        content = json.loads(_text(path, "--modify_mixlist"))
    except ValueError as error:
        raise ZooError(f"--modify_mixlist {path} is not JSON: {error}") from error
    if not _is_mixlist(content):
        raise ZooError(
            '--modify_mixlist {}: expected {{"black-list": {{"to-add": ["MatMul"]}}}} '
            "with lists {} and changes {}, types of operations as text".format(
                path, ", ".join(LISTS), ", ".join(CHANGES)
            )
        )


def _is_mixlist(content: Any) -> bool:
    return _is_filled(content, LISTS) and all(
        _is_filled(change, CHANGES)
        and all(
            isinstance(names, list) and all(isinstance(name, str) for name in names)
            for names in change.values()
        )
        for change in content.values()
    )


def _is_filled(value: Any, keys: Sequence[str]) -> bool:
    return isinstance(value, dict) and bool(value) and set(value) <= set(keys)


def _text(path: str, flag: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(
            "{} {} can't be read ({}); give a file of text".format(
                flag, path, getattr(error, "strerror", None) or "not UTF-8"
            )
        ) from error
