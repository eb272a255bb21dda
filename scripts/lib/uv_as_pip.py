"""Runs uv with pip's configuration: indexes, find-links, certificate, time-out.

    python uv_as_pip.py UV pip install ...

uv reads no pip.conf. Whoever set pip up for a mirror or a folder of wheels gets the same here; what
UV_ variables say wins. Runs under the Python whose pip is asked, 3.7 or later.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Dict, List, Sequence

# What pip calls it, what uv calls it, and the variable by which a user has told uv already.
REPEATED_OPTIONS = (
    ("find-links", "--find-links", "UV_FIND_LINKS"),
    ("extra-index-url", "--extra-index-url", "UV_EXTRA_INDEX_URL"),
    ("trusted-host", "--allow-insecure-host", "UV_INSECURE_HOST"),
)
VARIABLES = (
    ("cert", "SSL_CERT_FILE"),
    ("default-timeout", "UV_HTTP_TIMEOUT"),
    ("timeout", "UV_HTTP_TIMEOUT"),
    ("proxy", "HTTPS_PROXY"),
)
FALSE_WORDS = ("", "0", "false", "no", "off")


def pip_settings(listing: str) -> Dict[str, str]:
    """Reads what `pip config list` prints; later sections win, as in pip: global, install, env."""
    settings: Dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listing.splitlines():
            name, separator, value = line.partition("=")
            if separator and name.startswith(section + "."):
                settings[name[len(section) + 1 :]] = str(ast.literal_eval(value))
    return settings


def uv_arguments(settings: Dict[str, str], environment: Dict[str, str]) -> List[str]:
    """The arguments that give uv the same sources as pip; uv's own variables are left to win."""
    if settings.get("no-index", "").lower() not in FALSE_WORDS:
        sources = ["--no-index"]
    elif "index-url" in settings and not _told(environment, "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        sources = ["--index-url", settings["index-url"]]
    else:
        sources = []
    for name, option, variable in REPEATED_OPTIONS:
        if not _told(environment, variable):
            sources += [part for word in settings.get(name, "").split() for part in (option, word)]
    if "--extra-index-url" in sources and not _told(environment, "UV_INDEX_STRATEGY"):
        # pip takes the best match of all indexes; the versions are pinned, so that is safe here.
        sources += ["--index-strategy", "unsafe-best-match"]
    return sources


def uv_environment(settings: Dict[str, str], environment: Dict[str, str]) -> Dict[str, str]:
    """The environment for uv: the given one plus pip's certificate, time-out and proxy."""
    completed = dict(environment)
    for name, variable in VARIABLES:
        if settings.get(name):
            completed.setdefault(variable, settings[name])
    return completed


def _told(environment: Dict[str, str], *variables: str) -> bool:
    return any(environment.get(variable) for variable in variables)


def _pip_listing() -> str:
    """What pip says of its configuration; empty where this Python has no pip."""
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return answer.stdout.decode("utf-8", "replace")


def main(arguments: Sequence[str]) -> None:
    """Replaces this process by uv."""
    uv, command = arguments[0], list(arguments[1:])
    settings = pip_settings(_pip_listing())
    environment = dict(os.environ)
    if not {"--no-index", "--index-url"} & set(command):
        command += uv_arguments(settings, environment)
    os.execve(uv, [uv] + command, uv_environment(settings, environment))


if __name__ == "__main__":
    main(sys.argv[1:])
