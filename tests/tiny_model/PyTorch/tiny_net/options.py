"""The tiny network's flags."""

from __future__ import annotations

from common.core.command_line import Parser, boolean


def parser_of(entry_point: str) -> Parser:
    parser = Parser(prog=entry_point)
    for name in ("data_path", "dataset", "device", "precision_mode"):
        parser.add_argument("--" + name)
    parser.add_argument("--output_path", required=True)
    for name, value in (("batch_size", 40), ("device_id", 0), ("ranks", 1), ("seed", 0)):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--learning_rate", type=float, default=0.05)
    parser.add_argument("--augment", type=boolean, default=True)
    return parser
