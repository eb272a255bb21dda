"""The fake network's flags; each --…_at_step flag makes rank --bad_rank misbehave there."""

from __future__ import annotations

from common.core.command_line import Parser, boolean


def parser_of(entry_point: str) -> Parser:
    parser = Parser(prog=entry_point)
    for name in ("data_path", "dataset", "pth_path", "device_type", "precision_mode", "opt_level"):
        parser.add_argument("--" + name)
    parser.add_argument("--output_path", required=True)
    for name, value in (
        ("train_steps", 0),
        ("total_epochs", 1),
        ("train_batch_size", 1),
        ("device_id", 0),
        ("device_num", 1),
        ("seed", 0),
        ("bad_rank", 0),
        ("fail_at_step", 0),
        ("hang_at_step", 0),
        ("kill_at_step", 0),
        ("fail_code", 7),
        ("bad_seed", -1),
    ):
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--save_every", type=int, default=0)
    parser.add_argument("--step_seconds", type=float, default=0.0)
    for name in (
        "resume",
        "ignore_sigterm",
        "no_evaluation",
        "no_steps",
        "only_evaluate",
        "print_environment",
        "leave_a_child",
    ):
        parser.add_argument("--" + name, type=boolean, nargs="?", const=True, default=False)
    return parser
