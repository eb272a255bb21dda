"""What the toy networks of both engines can be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from common.training.run import Settings, Subject

SAMPLES, FEATURES = 64, 3
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00"
    b"\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)
SETTINGS: Dict[str, Any] = {
    "batch_size": 8,
    "seed": 1,
    "evaluate_every": 0,
    "checkpoint_every": 0,
    "resume": False,
    "profile": False,
    "pictures_every": 0,
    "diagnostics_every": 0,
    "keep": 3,
    "checkpoint_seconds": 600.0,
}
DEFAULTS: Dict[str, Any] = {
    **SETTINGS,
    "noise": 0.1,
    "clip_norm": 0.0,
    "nan_at": -1,
    "pause": 0.0,
    "task": "regression",
    "units": 4,
    "mode": "O0",
    "batches": 0,
    "slow_data": 0.0,
    "dump_tensors": 0,
    "dump_from": "",
}


def options_of(words: Sequence[str]) -> Dict[str, Any]:
    """The options of a command line: name=value."""
    options = dict(DEFAULTS)
    for word in words:
        name, text = word.split("=")
        kind = type(DEFAULTS[name])
        options[name] = text == "True" if kind is bool else kind(text)
    return options


def settings_of(options: Mapping[str, Any], output_path: Path, steps: int) -> Settings:
    """How a toy's training goes."""
    return Settings(
        Path(output_path),
        steps,
        **{name: options[name] for name in SETTINGS},
        log_every=5,
        dump_tensors=options["dump_tensors"] or None,
        dump_from=options["dump_from"] or None,
    )


def subject_of(options: Mapping[str, Any]) -> Subject:
    """What a toy's run says of itself."""
    return Subject(
        "toy",
        options["task"],
        "toy",
        {"name": "toy", "units": options["units"]},
        {
            "name": "numbers",
            "predicate": "all",
            "counts": {"train": SAMPLES},
            "manifest_sha256": "0" * 64,
        },
        {"noise": options["noise"]},
    )
