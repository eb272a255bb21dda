"""Where a run comes from: the sources' commit and the hash of its configuration."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
SEED_NAMES = ("seed", "random_seed")


def code_state(folder: Path = CHECKOUT) -> Dict[str, Any]:
    """Returns {"commit": …, "dirty": …} of the checkout; "unknown" where git can't tell."""
    try:
        if not (folder / ".git").exists():  # installed, perhaps inside someone else's checkout
            return {"commit": "unknown", "dirty": True}
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return {"commit": "unknown", "dirty": True}
    return {"commit": commit, "dirty": bool(dirty)}


def _git(folder: Path, *words: str) -> str:
    output = subprocess.check_output(
        ("git", "-C", str(folder)) + words, timeout=20, stderr=subprocess.DEVNULL
    )
    return output.decode("utf-8", "replace").strip()


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of a configuration, whatever the order of its keys."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def recipe_of(config: Mapping[str, Any]) -> Dict[str, Any]:
    """A configuration without its seed: what runs of several seeds have in common."""
    return {name: value for name, value in config.items() if name not in SEED_NAMES}


def without_folders(command: str) -> str:
    """A command line without this machine's folders, which a kept record has no use for."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quote that nobody closed
        return command
    return joined(re.sub(r"(^|=)/\S*/", r"\1…/", word) for word in words)


def shown_command(argv: Sequence[str], package: str) -> str:
    """The command line of an entry point, without this machine's folders.

    Args:
        argv: as sys.argv.
        package: the package of the entry point, such as "slot_attention.object_discovery".
    """
    program = f"python -m {package}.{Path(argv[0]).stem} "
    return without_folders(program + joined(argv[1:])).rstrip()


def joined(words: Iterable[str]) -> str:
    """Words as one command line that can be typed."""
    return " ".join(shlex.quote(word) for word in words)
