"""One change to one file that must make named tests fail."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Tuple


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Puts `new` in the place of `old`, which `file` has exactly once.

    Attributes:
        name: words joined by underscores, unique in its list.
        file: path from the checkout's root.
        tests: pytest's names of the tests that must fail, "FILE::FUNCTION".
        why: the rule that is broken, with its section of the specification.
    """

    name: str
    file: str
    old: str
    new: str
    tests: Tuple[str, ...]
    why: str

    def applied_to(self, text: str) -> str:
        """The file's text with the rule broken.

        Raises:
            ValueError: the text to replace is not there exactly once.
        """
        count = text.count(self.old)
        if count != 1 or self.old == self.new:
            raise ValueError(f"mutation {self.name}: {self.old!r} is {count} times in {self.file}")
        return text.replace(self.old, self.new)

    def check(self, root: Path) -> None:
        """Raises ValueError where the mutation does not fit the checkout."""
        self.applied_to((root / self.file).read_text(encoding="utf-8"))
        for test in self.tests:
            file, _, function = test.partition("::")
            name = function.split("[")[0]
            if f"def {name}(" not in (root / file).read_text(encoding="utf-8"):
                raise ValueError(f"mutation {self.name}: there is no test {test}")
