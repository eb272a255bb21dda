"""The flags: what the launcher gives, under its own names."""

from __future__ import annotations

from common.core.command_line import Parser


def parser_of(entry_point: str) -> Parser:
    """The parser of the entry point."""
    parser = Parser(prog=entry_point)
    for name in ("output_path", "device", "precision_mode"):
        parser.add_argument("--" + name)
    for name in ("train_steps", "batch_size", "seed", "ranks", "device_id"):
        parser.add_argument("--" + name, type=int, default=0)
    return parser
