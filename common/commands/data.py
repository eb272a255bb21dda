"""`zoo data list|prepare|verify`: what datasets there are, fetching them, checking them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable, Dict, Sequence

from common.cards.model_folders import checkout_root
from common.core.command_line import Parser, add_debug_flag
from common.core.errors import UsageError
from common.core.terminal import Terminal
from common.core.text import aligned
from common.data.catalogue import (
    COMPLETE,
    Dataset,
    data_root,
    default_data_path,
    find_dataset,
    presence,
    read_catalogue,
)
from common.data.checksums import record_generated, verify
from common.data.prepare import Way, generate, prepare
from common.data.progress import bytes_text

ACTIONS = {
    "list": "every dataset of the networks: size, source of its checksum, whether it is there",
    "prepare": "downloads, checks and unpacks a dataset, or generates it",
    "verify": "compares every file of a dataset with its checksum",
}
_TOLD = (  # of a dataset, by --json
    "name",
    "network",
    "title",
    "description",
    "licence",
    "homepage",
    "folder",
    "size",
    "size_is_exact",
    "checksum_source",
)
EXAMPLES = """
  zoo data list
  zoo data prepare cifar10 --data_path=DIR
  zoo data prepare clevr --data_path=DIR --mirror=http://server:8000
  zoo data prepare clevr --data_path=DIR --offline     with the zip in DIR
  zoo data verify cifar10 --data_path=DIR
  zoo data prepare synthetic_scenes --data_path=DIR --help    the generator's own flags
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Takes the action's words as they are: a generator has flags of its own."""
    parser.usage = "zoo data list|prepare|verify [NAME] [--data_path D] [flags]"
    parser.epilog = "examples:" + EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "action",
        choices=tuple(ACTIONS),
        help="; ".join(f"{name}: {text}" for name, text in ACTIONS.items()),
    )
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="...", help="zoo data ACTION --help tells"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs one action; returns the exit code."""
    return _RUNNERS[arguments.action](arguments.words)


def _parser(action: str, add_help: bool = True) -> Parser:
    parser = Parser(prog="zoo data " + action, description=ACTIONS[action], add_help=add_help)
    add_debug_flag(parser)
    parser.add_argument(
        "--data_path", type=Path, default=default_data_path(), help="the folder of all datasets"
    )
    return parser


def _list(words: Sequence[str]) -> int:
    parser = _parser("list")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    arguments = parser.parse_args(words)
    datasets = read_catalogue(checkout_root())
    there = [presence(dataset, arguments.data_path) for dataset in datasets]
    if arguments.json:
        rows = []
        for dataset, state in zip(datasets, there):
            row = {name: getattr(dataset, name) for name in _TOLD}
            rows.append(dict(row, generated=bool(dataset.generated_by), there=state))
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif not datasets:
        print(f"no datasets under {checkout_root()}")
    else:
        cells = [("name", "network", "size", "checksum", "there")]
        for one, state in zip(datasets, there):
            size = ("" if one.size_is_exact else "about ") + bytes_text(one.size)
            size = "generated" if one.generated_by else size
            cells.append((one.name, one.network, size, one.checksum_source, state))
        print(f"{aligned(cells)}\n\nlooked for in {arguments.data_path}")
    return 0


def _prepare(words: Sequence[str]) -> int:
    known, others = _prepare_parser(add_help=False).parse_known_args(list(words))
    dataset = find_dataset(checkout_root(), known.name) if known.name else None
    if dataset is not None and dataset.generated_by:
        return _generate(dataset, known, others)
    arguments = _prepare_parser(add_help=True).parse_args(words)
    if dataset is None:
        raise UsageError("zoo data prepare needs a name; zoo data list shows them")
    terminal = Terminal()
    try:
        prepare(dataset, arguments.data_path, Way(arguments.mirror, arguments.offline), terminal)
    except KeyboardInterrupt:
        terminal.status("")
        terminal.complain("stopped; the same command goes on with what has come so far")
        raise
    return 0


def _prepare_parser(add_help: bool) -> Parser:
    """The parser of prepare; without help, a generator's --help passes through."""
    parser = _parser("prepare", add_help=add_help)
    parser.add_argument("name", metavar="NAME", nargs="?", help="a dataset of zoo data list")
    way = parser.add_mutually_exclusive_group()
    text = "fetch from this server, which has the files of a data folder"
    way.add_argument("--mirror", type=_mirror, metavar="URL", help=text)
    text = "use the network for nothing: only files that are there"
    way.add_argument("--offline", action="store_true", help=text)
    return parser


def _generate(dataset: Dataset, arguments: argparse.Namespace, flags: Sequence[str]) -> int:
    """Runs the generator; it needs no network, so --offline is no news to it."""
    if arguments.mirror:
        raise UsageError(f"{dataset.name} is generated here; leave --mirror out")
    root = data_root(arguments.data_path, dataset)
    code = generate(dataset, checkout_root(), root, flags)
    if code == 0 and presence(dataset, root) == COMPLETE:  # --help ends with 0 too
        record_generated(dataset, root, Terminal())
    return code


def _mirror(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(
            f"expected an address that begins with http:// or https://, not {text!r}"
        )
    return text


def _verify(words: Sequence[str]) -> int:
    parser = _parser("verify")
    parser.add_argument("name", metavar="NAME", help="a dataset of zoo data list")
    arguments = parser.parse_args(words)
    dataset = find_dataset(checkout_root(), arguments.name)
    if not arguments.data_path.is_dir():
        raise UsageError(
            f"--data_path {arguments.data_path} is no folder; give the folder of the datasets"
        )
    root = data_root(arguments.data_path, dataset)
    verdict = verify(dataset, root, Terminal())
    for line in verdict.bad:
        print(line)
    if verdict.recorded:
        print(
            f"nobody publishes checksums of {verdict.recorded:,} files; recorded at first use, and "
            "compared from now on"
        )
    sources = ", ".join(verdict.sources) or "nothing"
    told = f"{verdict.compared:,} files compared with {sources}, {len(verdict.bad):,} bad"
    print(f"{dataset.name}: {told}")
    return int(bool(verdict.bad))


_RUNNERS: Dict[str, Callable[[Sequence[str]], int]] = {
    "list": _list,
    "prepare": _prepare,
    "verify": _verify,
}
