"""`zoo record`: keeps a finished run, with its logs, in results/."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.cards.model_folders import home
from common.core.codec import json_text
from common.runs import record as run_record
from common.runs import store as record_store


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("run_folder", help="the folder of the run, its --output_path")
    parser.add_argument(
        "--show", action="store_true", help="print the record as JSON and keep nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints or keeps the record of a run folder."""
    folder = Path(arguments.run_folder)
    if arguments.show:
        print(json_text(run_record.from_run_folder(folder)), end="")
        return 0
    path = record_store.keep(home(), folder)
    print(f"kept {path}; `zoo table --write` brings it into the READMEs")
    return 0
