"""What a library prints while it is imported is withheld, unless the import fails."""

from __future__ import annotations

import os

import pytest

from common.core.quiet_import import without_chatter


def test_what_is_written_to_standard_error_is_withheld(capfd):
    with without_chatter():
        os.write(2, b"chatter\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_it_is_shown_when_the_import_fails(capfd):
    with pytest.raises(ImportError), without_chatter():
        os.write(2, b"reason\n")
        raise ImportError("broken")
    assert capfd.readouterr().err == "reason\n"
