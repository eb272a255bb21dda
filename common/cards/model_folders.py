"""Where things are: the networks, of a checkout or installed, and what runs leave behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import List, Tuple

from common.cards.model_card import FILE_NAME, ModelCard, read_card
from common.core.errors import UsageError, ZooError

FRAMEWORK_FOLDERS = ("TensorFlow", "PyTorch")
INSTALLED_FILES = "attention_modelzoo-*.dist-info/RECORD"


def checkout_root() -> Path:
    """The checkout: the folder above common/, or what the environment variable ZOO_ROOT names."""
    given = os.environ.get("ZOO_ROOT")
    return Path(given).absolute() if given else Path(__file__).absolute().parents[2]


def is_installed(root: Path) -> bool:
    """Whether the networks lie side by side, as a wheel puts them, not below their frameworks."""
    return any(root.glob(INSTALLED_FILES))


def home() -> Path:
    """Below which results/, output/ and data/ lie: $ZOO_HOME, else the checkout, else here."""
    given, root = os.environ.get("ZOO_HOME"), checkout_root()
    if given:
        return Path(given).expanduser().absolute()
    return Path.cwd() if is_installed(root) else root


def work_folder(card: ModelCard) -> Path:
    """Below which a network's test/output lies: its own folder, in a checkout."""
    if is_installed(checkout_root()) or os.environ.get("ZOO_HOME"):
        return home() / card.name
    return card.folder


def kept_weights(name: str) -> str:
    """The path of weights that come with the zoo, of a checkout or installed.

    Raises:
        ZooError: they are not there.
    """
    places = [checkout_root() / "weights", Path(sys.prefix) / "share/attention-modelzoo/weights"]
    for place in places:
        if (place / name).is_file():
            return str(place / name)
    raise ZooError(f"the weights {name} are neither in {places[0]} nor in {places[1]}; name others")


def network_files(root: Path, name: str = FILE_NAME) -> List[Path]:
    """The networks' files of this name, in order of framework and network.

    Installed, they are those that the zoo's own list of installed files names.
    """
    root = Path(root)
    if is_installed(root):
        listed = [path.read_text("utf-8") for path in root.glob(INSTALLED_FILES)]
        names = [line.split(",")[0] for text in listed for line in text.splitlines()]
        return sorted(
            root / file for file in names if file.count("/") == 1 and file.endswith("/" + name)
        )
    return [
        path
        for framework in FRAMEWORK_FOLDERS
        for path in sorted(root.glob(f"{framework}/*/{name}"))
    ]


def all_cards(root: Path) -> List[ModelCard]:
    """Reads every card; the first one that is wrong raises its ZooError."""
    return [read_card(path) for path in network_files(root)]


def find_card(root: Path, name: str) -> ModelCard:
    """A card by its folder's name or by a name in also_known_as.

    Raises:
        UsageError: no network has this name; the error lists those there are.
    """
    paths = network_files(root)
    for path in paths:  # by folder first: the other cards need not be read
        if path.parent.name == name:
            return read_card(path)
    for path in paths:
        card = read_card(path)
        if name in card.also_known_as:
            return card
    raise UsageError(
        "there is no network {!r}; there are: {}".format(
            name, ", ".join(path.parent.name for path in paths) or f"none under {root}"
        )
    )


def split_name(text: str) -> Tuple[str, str]:
    """Splits MODEL/TASK; the task is empty where none is named."""
    model, _, task = text.partition("/")
    return model, task
