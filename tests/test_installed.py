"""The zoo installed from its wheel into an empty environment, used from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, List

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
RUN = {"TF_USE_LEGACY_KERAS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
Zoo = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        sys.version_info < (3, 8), reason="pip of Python 3.7 leaves build/ in the sources"
    ),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel, and what it needs, from the registry."""
    folder = tmp_path_factory.mktemp("installed")
    sources, made = folder / "sources", folder / "environment"
    listed = subprocess.check_output(
        ["git", "-C", str(CHECKOUT), "ls-files", "-co", "--exclude-standard", "-z"]
    )
    for name in filter(None, listed.decode("utf-8").split("\0")):
        if (CHECKOUT / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(CHECKOUT / name), str(sources / name))
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(sources)], check=True, env=alone)
    wheel = next(folder.glob("*.whl"))
    uv = shutil.which("uv") or str(CHECKOUT / ".venv" / "tools" / "bin" / "uv")
    python = str(made / "bin" / "python")
    if os.access(uv, os.X_OK):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
        install = [python, "-m", "pip", "install", "--quiet"]
    done = subprocess.run([*install, str(wheel)], env=alone, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip("the registry can't be had: " + done.stderr.strip()[-200:])
    return made


@pytest.fixture
def zoo(environment: Path, tmp_path: Path) -> Zoo:
    """Runs the installed program in an empty folder, this environment's frameworks in reach."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        frameworks = os.path.dirname(os.path.dirname(pytest.__file__))
        return subprocess.run(
            [str(environment / "bin" / "zoo"), *words],
            cwd=str(tmp_path),
            env={**RUN, "PATH": os.environ["PATH"], "PYTHONPATH": frameworks, **variables},
            capture_output=True,
            text=True,
        )

    return run


def test_the_networks_and_their_datasets_are_known_anywhere(zoo: Zoo) -> None:
    cards = json.loads(zoo("list", "--json").stdout)
    assert {card["name"] for card in cards} == {
        "protoattend",
        "protoattend_torch",
        "residual_attention_net",
        "slot_attention",
        "slot_attention_torch",
    }
    assert "fashion_mnist" in zoo("data", "list").stdout
    assert zoo("table").returncode == 0


def test_a_package_of_others_with_a_model_card_is_no_network(zoo: Zoo, environment: Path) -> None:
    package = next(environment.glob("lib/python*/site-packages")) / "another"
    package.mkdir()
    (package / "model.yaml").write_text("name: [another", encoding="utf-8")
    assert zoo("list").returncode == 0


def test_what_is_written_goes_below_the_folder_one_is_in(zoo: Zoo, tmp_path: Path) -> None:
    planned = zoo("launch", "protoattend", "smoke", "--device=cpu", "--dry_run")
    assert f"{tmp_path}/protoattend/test/output/0" in planned.stdout
    assert "site-packages/protoattend/test" not in planned.stdout
    elsewhere = zoo(
        "launch", "protoattend", "smoke", "--device=cpu", "--dry_run", ZOO_HOME=f"{tmp_path}/home"
    )
    assert f"{tmp_path}/home/protoattend/test/output/0" in elsewhere.stdout
    assert not list(tmp_path.iterdir())


def test_tables_of_readmes_are_refused_where_there_are_none(zoo: Zoo) -> None:
    told = zoo("table", "--write")
    assert told.returncode == 64 and "checkout" in told.stderr


@pytest.mark.slow
@pytest.mark.pytorch
def test_a_network_is_trained_recorded_and_reported(zoo: Zoo, tmp_path: Path) -> None:
    run = ["residual_attention_net", "smoke", "--device=cpu", "--total_epochs=1"]
    steps: List[List[str]] = [
        ["launch", *run, "--output_path=run"],
        ["record", "run"],
        ["report", "run", "-o", "report.html"],
        ["parse", "run/train_0.log"],
        ["compare", "--cpu", "run", "--run", "again=run"],
    ]
    for words in steps:
        done = zoo(*words)
        assert done.returncode in (0, 2), (words, done.stdout[-2000:], done.stderr[-2000:])
    assert len(list((tmp_path / "results" / "residual_attention_net").glob("*.json"))) == 1
    assert "digits" in zoo("table").stdout
