"""The catalogue of datasets: the real one, and what a datasets.yaml may not say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from common.core.errors import UsageError, ZooError
from common.data.catalogue import COMPLETE, data_root, find_dataset, presence, read_catalogue

ROOT = Path(__file__).resolve().parent.parent
PLAIN = {"path": "things/a.bin", "urls": ["https://example.org/a.bin"], "size": 3}
ENTRY = {
    "title": "Things",
    "description": "a few",
    "licence": "none",
    "folder": "things",
    "files": [PLAIN],
}


def write(tmp_path, network="net", name="things", entry=ENTRY):
    path = tmp_path / "PyTorch" / network / "datasets.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"schema_version": 1, "datasets": {name: entry}}))


def changed(**changes):
    """The entry with changed values of its file; None takes one away."""
    file = {name: value for name, value in {**PLAIN, **changes}.items() if value is not None}
    return {**ENTRY, "files": [file]}


def test_the_datasets_of_all_three_networks_are_there():
    found = {dataset.name: dataset.network for dataset in read_catalogue(ROOT)}
    assert found["cifar10"] == "residual_attention_net"
    assert found["fashion_mnist"] == "protoattend"
    assert {name for name, network in found.items() if network == "slot_attention"} == {
        "clevr",
        "clevr_with_masks",
        "multi_dsprites_binarized",
        "multi_dsprites_colored_on_grayscale",
        "multi_dsprites_colored_on_colored",
        "tetrominoes",
        "objects_room",
        "synthetic_sprites",
        "synthetic_scenes",
    }


def test_a_dataset_is_found_whatever_its_capitals_and_hyphens_and_others_are_listed():
    assert find_dataset(ROOT, "Fashion-MNIST").name == "fashion_mnist"
    with pytest.raises(UsageError, match="no dataset 'svhn'; there are: fashion_mnist, mnist"):
        find_dataset(ROOT, "svhn")


def test_a_data_path_may_name_the_datasets_own_folder(tmp_path, zoo_data):
    own = zoo_data("fashion-mnist")
    dataset = find_dataset(ROOT, "fashion_mnist")
    assert presence(dataset, own) == presence(dataset, own.parent) == COMPLETE
    assert data_root(own, dataset) == own.parent


@pytest.mark.parametrize(
    "entry, told",
    [
        (changed(urls=["http://example.org/a.bin"]), "only https is taken"),
        (changed(urls=["file:///etc/passwd"]), "only https is taken"),
        (changed(urls=["https://[x"]), "only https is taken"),
        (changed(urls=[]), "urls is empty"),
        (changed(size=None), "about_size"),
        (changed(path="../a.bin"), "path must be a path below the data folder"),
        (changed(path="/a.bin"), "path must be a path below the data folder"),
        (changed(unpack="rar"), "unpack must be one of none, tar, zip, gz"),
        (changed(unpack="tar"), "unpacked_at_most"),
        (changed(unpack="gz", unpacked_at_most=9), "must end in .gz"),
        (changed(checksum={"algorithm": "md5", "value": "12", "source": "me"}), "32 hexadecimal"),
        (changed(checksum={"algorithm": "crc", "value": "12", "source": "me"}), "md5, sha256"),
        (changed(checksum={"algorithm": "md5", "value": "0" * 32}), "source is missing"),
        (changed(colour="red"), "colour is not a key"),
        (dict(ENTRY, folder="../x"), "folder must be a path below"),
        (dict(ENTRY, generated_by="some.module"), "or generated_by must be given, one of the two"),
        (dict(ENTRY, files=[]), "or generated_by must be given, one of the two"),
    ],
)
def test_what_is_wrong_with_a_datasets_file_is_told_with_its_key(tmp_path, entry, told):
    write(tmp_path, entry=entry)
    with pytest.raises(ZooError, match=told):
        read_catalogue(tmp_path)


def test_two_networks_may_not_use_one_name(tmp_path):
    write(tmp_path, network="one")
    write(tmp_path, network="two")
    with pytest.raises(ZooError, match="another network's"):
        read_catalogue(tmp_path)
