"""Flags declared once: a field of a dataclass is the flag's type, default, reader and help.

@dataclasses.dataclass(frozen=True)
class Options(Flags):
    data_path: Optional[str] = unrecorded("folder of the dataset", kind=path)
    batch_size: int = flag("per device", 64, kind=count, names=("--train_batch_size",))
    augment: bool = flag("flip images", True)      # --augment, --augment=false

options = Program("net.train", Options).read(argv)
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Generic,
    Mapping,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    get_type_hints,
)

from common.core.command_line import Parser, boolean, number_in

T = TypeVar("T")
_DECLARED, _GIVEN = "zoo_flag", "_given"
RECORDED, LATER, UNRECORDED = "recorded", "later", "unrecorded"
TRAININGS, EVALUATIONS = ("train", "finetune"), ("eval", "evaluate", "explain")  # for `only`

count = number_in(int, 1)
whole = number_in(int, 0)
positive = number_in(float, 0, low_is_legal=False)
not_negative = number_in(float, 0)


def path(text: str) -> str:
    """The type of a flag that names a file or a folder: ~ is the user's home."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, not an empty text")
    return os.path.expanduser(text)


def flag(
    help: str,
    default: Any = None,
    *,
    kind: Optional[Callable[[str], Any]] = None,
    choices: Optional[Collection[Any]] = None,
    names: Sequence[str] = (),
    called: str = "",
    metavar: Optional[str] = None,
    nargs: Optional[str] = None,
    required: bool = False,
    group: str = "",
    only: Collection[str] = (),
    recorded: str = RECORDED,
) -> Any:
    """A field that is a flag.

    Args:
        kind: how its text is read; by default as the field's annotation says, a bool as a switch.
        names: other names that it has, with their hyphens.
        called: its own name where that is not the field's.
        group: the heading in the help, of this flag and of those declared after it.
        only: the programs that know it; for the others the field has its default.
        recorded: whether it decides a run's result (LATER: told where it is not the default, for
            flags that came after records had been kept).
    """
    declared: Dict[str, Any] = {"help": help, "kind": kind, "choices": choices, "names": names}
    declared.update(called=called, metavar=metavar, nargs=nargs, required=required)
    declared.update(group=group, only=only, recorded=recorded)
    return dataclasses.field(default=default, metadata={_DECLARED: declared})


def unrecorded(help: str, default: Any = None, **settings: Any) -> Any:
    """A flag that no result depends on: of the machine, of paths, of what is told how often."""
    return flag(help, default, recorded=UNRECORDED, **settings)


@dataclasses.dataclass(frozen=True)
class Flags:
    """What every program's flags have."""

    debug: bool = unrecorded("show the traceback of an error", False)

    def config(self) -> Dict[str, Any]:
        """What decides the result, without paths and devices: the recorded configuration."""
        found: Dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value, declared = getattr(self, field.name), field.metadata.get(_DECLARED, {})
            told = declared.get("recorded", RECORDED)
            if declared.get("kind") is path and isinstance(value, str):
                value = os.path.basename(os.path.normpath(value))  # no folder of this machine
            if told == RECORDED or (told == LATER and value != field.default):
                found[field.name] = list(value) if isinstance(value, tuple) else value
        return found


class OneValue(argparse.Action):
    """Stores a value; two names of one flag with different values are an error."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        given = namespace.__dict__.setdefault(_GIVEN, {})
        name, value = given.get(self.dest, (option_string, values))
        if name != option_string and value != values:
            parser.error(
                f"{name}={value} and {option_string}={values} contradict each other: they are the "
                "same flag, so give one of them"
            )
        given[self.dest] = (option_string, values)
        setattr(namespace, self.dest, values)


@dataclasses.dataclass(frozen=True)
class Program(Generic[T]):
    """A program with flags.

    Attributes:
        name: as in `python -m name`.
        options: the dataclass that declares its flags.
        kinds: what `only` calls it.
        defaults: by field, where they differ from the fields' own.
        description: what its help begins with.
    """

    name: str
    options: Type[T]
    kinds: Collection[str] = ()
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    description: Optional[str] = None

    def parser(self) -> Parser:
        """Its parser, by which a flag that is not given leaves no trace."""
        parser = Parser(prog=self.name, description=self.description)
        add_flags(parser, self.options, self.kinds, self.defaults)
        return parser

    def given(self, argv: Optional[Sequence[str]]) -> Dict[str, Any]:
        """The flags on a command line, by field; UsageError for a wrong one."""
        found: Dict[str, Any] = vars(self.parser().parse_args(argv))
        found.pop(_GIVEN, None)
        return found

    def read(self, argv: Optional[Sequence[str]]) -> T:
        """A command line as the options that it means; UsageError for a wrong one."""
        return self.options(**dict(self.defaults, **self.given(argv)))


def add_flags(
    parser: argparse.ArgumentParser,
    options: Type[Any],
    kinds: Collection[str] = (),
    defaults: Optional[Mapping[str, Any]] = None,
    names: Optional[Mapping[str, Sequence[str]]] = None,
) -> None:
    """Adds the flags that a dataclass declares, its own before those of its bases.

    One that only joins others has for its own those of the first that declares any.

    Args:
        names: more names of a field's flag.
    """
    hints = get_type_hints(options)
    declaring = (vars(kind).get("__annotations__") for kind in options.__mro__)
    own: Any = next(filter(None, declaring), {})
    group: Any = parser
    for field in sorted(dataclasses.fields(options), key=lambda field: field.name not in own):
        declared = field.metadata.get(_DECLARED)
        if declared is None:
            continue
        group = parser.add_argument_group(declared["group"]) if declared["group"] else group
        if declared["only"] and not set(declared["only"]) & set(kinds):
            continue
        default = (defaults or {}).get(field.name, field.default)
        settings = {name: declared[name] for name in ("choices", "nargs", "required")}
        plain, settings["type"] = _plain(hints[field.name]), declared["kind"]
        usual = "PATH" if declared["kind"] is path else {int: "N", float: "X"}.get(plain)
        settings["metavar"] = declared["metavar"] or (None if declared["choices"] else usual)
        if plain is bool:
            settings.update(type=declared["kind"] or boolean, nargs="?", const="true")
            settings["metavar"] = declared["metavar"] or "BOOL"
        elif plain in (int, float):
            settings["type"] = declared["kind"] or plain
        called = ["--" + (declared["called"] or field.name), *declared["names"]]
        group.add_argument(
            *called,
            *(name for name in (names or {}).get(field.name, ()) if name not in called),
            dest=field.name,
            action=OneValue,
            default=argparse.SUPPRESS,
            help=_with_default(declared["help"], default),
            **settings,
        )


def _plain(hint: Any) -> Any:
    """int of Optional[int]; the hint itself of another."""
    inner = [one for one in getattr(hint, "__args__", None) or () if one is not type(None)]
    return inner[0] if getattr(hint, "__origin__", None) is Union and len(inner) == 1 else hint


def _with_default(text: str, default: Any) -> str:
    told = default in (None, False, "", ()) or "default" in text
    return (text if told else f"{text} (default: {default})").replace("%", "%%")
