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


def test_the_variable_wins_over_the_file_and_install_over_global(uv_as_pip):
    settings = uv_as_pip.pip_settings(LISTING)
    assert settings["find-links"] == "/from the variable"
    assert settings["index-url"] == "https://mirror/simple"


def test_every_index_and_folder_is_handed_on_and_the_best_version_of_all_is_taken(uv_as_pip):
    settings = dict(uv_as_pip.pip_settings(LISTING), **{"find-links": "/a /b"})
    assert uv_as_pip.uv_arguments(settings, {}) == [
        "--index-url",
        "https://mirror/simple",
        "--find-links",
        "/a",
        "--find-links",
        "/b",
        "--extra-index-url",
        "https://one/simple",
        "--extra-index-url",
        "https://two/simple",
        "--index-strategy",
        "unsafe-best-match",
    ]


def test_a_pip_without_settings_leaves_uv_as_it_is(uv_as_pip):
    assert uv_as_pip.uv_arguments(uv_as_pip.pip_settings(""), {}) == []


def test_no_index_is_handed_on_without_an_index(uv_as_pip):
    settings = {"no-index": "1", "index-url": "https://mirror/simple", "find-links": "/wheels"}
    assert uv_as_pip.uv_arguments(settings, {}) == ["--no-index", "--find-links", "/wheels"]


def test_no_index_set_to_false_changes_nothing(uv_as_pip):
    assert uv_as_pip.uv_arguments({"no-index": "false"}, {}) == []


def test_what_the_user_told_uv_itself_wins(uv_as_pip):
    settings = {"index-url": "https://mirror/simple", "find-links": "/wheels"}
    told = {"UV_DEFAULT_INDEX": "https://mine/simple", "UV_FIND_LINKS": "/mine"}
    assert uv_as_pip.uv_arguments(settings, told) == []


def test_certificate_proxy_and_time_out_become_uvs_variables(uv_as_pip):
    settings = {"cert": "/etc/certificates.pem", "proxy": "http://proxy:80", "timeout": "180"}
    told = uv_as_pip.uv_environment(settings, {"SSL_CERT_FILE": "/mine.pem"})
    assert told == {
        "SSL_CERT_FILE": "/mine.pem",
        "HTTPS_PROXY": "http://proxy:80",
        "UV_HTTP_TIMEOUT": "180",
    }
