"""scripts/lib/uv_as_pip.py: what pip is told, uv is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "scripts" / "lib" / "uv_as_pip.py"
LISTING = """\
:env:.find-links='/from the variable'
global.cert='/etc/certificates.pem'
global.extra-index-url='https://one/simple\\nhttps://two/simple'
global.find-links='/from-the-file'
install.index-url='https://mirror/simple'
global.index-url='https://other/simple'
"""


@pytest.fixture(scope="module")
def uv_as_pip():
    specification = importlib.util.spec_from_file_location("uv_as_pip", str(SOURCE))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "settings, told, arguments",
    [
        ({}, {}, ""),  # a pip without settings leaves uv as it is
        (
            {"index-url": "https://m", "find-links": "/a /b", "extra-index-url": "https://o"},
            {},
            "--index-url https://m --find-links /a --find-links /b --extra-index-url https://o "
            "--index-strategy unsafe-best-match",
        ),
        (
            {"no-index": "1", "index-url": "https://m", "find-links": "/wheels"},
            {},
            "--no-index --find-links /wheels",
        ),
        ({"no-index": "false"}, {}, ""),
        (  # what the user told uv itself wins
            {"index-url": "https://m", "find-links": "/wheels"},
            {"UV_DEFAULT_INDEX": "https://mine", "UV_FIND_LINKS": "/mine"},
            "",
        ),
    ],
)
def test_indices_and_folders_are_handed_on(uv_as_pip, settings, told, arguments):
    assert uv_as_pip.uv_arguments(settings, told) == arguments.split()


def test_of_pips_settings_the_variable_wins_over_the_file_and_install_over_global(uv_as_pip):
    settings = uv_as_pip.pip_settings(LISTING)
    assert settings["find-links"] == "/from the variable"
    assert settings["index-url"] == "https://mirror/simple"
    assert uv_as_pip.uv_arguments(settings, {}).count("--extra-index-url") == 2


def test_certificate_proxy_and_time_out_become_uvs_variables(uv_as_pip):
    settings = {"cert": "/etc/certificates.pem", "proxy": "http://proxy:80", "timeout": "180"}
    told = uv_as_pip.uv_environment(settings, {"SSL_CERT_FILE": "/mine.pem"})
    assert told == {
        "SSL_CERT_FILE": "/mine.pem",
        "HTTPS_PROXY": "http://proxy:80",
        "UV_HTTP_TIMEOUT": "180",
    }
