"""Files of tensors are read, and nothing in a file is run."""

import builtins
import io
import os
import pickle
import tarfile
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")

from common.core.errors import ZooError  # noqa: E402
from common.training.torch import safe_load as module  # noqa: E402
from common.training.torch.safe_load import (  # noqa: E402
    TensorUnpickler,
    allow_list_pickle,
    safe_load,
)

pytestmark = pytest.mark.pytorch
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Runs:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture(params=["torch's", "allow-list"], autouse=True)
def reader(request, monkeypatch):
    """The reader of torch 1.8 is tried on every torch: only there is it the one that is used."""
    if request.param == "allow-list":
        load = torch.load
        options = {"pickle_module": allow_list_pickle()}
        if "weights_only" in load.__code__.co_varnames:
            options["weights_only"] = False
        monkeypatch.setattr(
            module, "_load_tensors", lambda path: load(str(path), map_location="cpu", **options)
        )


def saved(value, path, zipped=True, **options):
    torch.save(value, str(path), _use_new_zipfile_serialization=zipped, **options)
    return path


def checkpoint():
    tensors = OrderedDict(
        weight=torch.randn(3, 4),
        half=torch.randn(2).half(),
        counter=torch.tensor(3),
        flag=torch.tensor([True]),
    )
    tensors._metadata = OrderedDict(version=1)
    return {
        "state_dict": tensors,
        "epoch": 7,
        "rate": 0.1,
        "names": ["a", ("b", None)],
        "raw": b"\xff\x00",
        "kinds": {1, 2},
        "dtype": torch.float32,
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


@FORMATS
def test_tensors_containers_and_numbers_come_back(tmp_path, zipped):
    expected = checkpoint()
    found = safe_load(saved(expected, tmp_path / "a.pth", zipped))
    for name, tensor in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor)
        assert found["state_dict"][name].dtype is tensor.dtype
    plain = ("epoch", "rate", "names", "raw", "kinds", "dtype")
    assert {name: found[name] for name in plain} == {name: expected[name] for name in plain}
    assert torch.equal(found["parameter"], expected["parameter"])


@FORMATS
@pytest.mark.parametrize(
    "function, arguments",
    [
        (os.system, ("touch {}",)),
        (builtins.eval, ("open({!r}, 'w')",)),
        (builtins.getattr, (os, "system")),
        (torch.load, ("{}",)),
    ],
    ids=["os.system", "eval", "getattr", "torch.load"],
)
def test_a_pickle_that_calls_something_is_refused_and_nothing_is_run(
    tmp_path, function, arguments, zipped
):
    trace = tmp_path / "run"
    arguments = tuple(a.format(str(trace)) if isinstance(a, str) else a.__name__ for a in arguments)
    path = saved({"x": Runs(function, *arguments)}, tmp_path / "a.pth", zipped)
    with pytest.raises(ZooError, match="has no need of|not a checkpoint") as caught:
        safe_load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not trace.exists()


@FORMATS
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.99])
def test_a_truncated_file_is_one_line(tmp_path, kept, zipped):
    path = saved({"weight": torch.randn(100, 100)}, tmp_path / "a.pth", zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ZooError, match="truncated|empty") as caught:
        safe_load(path)
    assert "\n" not in str(caught.value)


def test_an_archive_said_to_span_disks_is_one_line(tmp_path):
    """The end of a zip file, before it a locator that tells of several disks (zip64)."""
    path = saved({"weight": torch.zeros(3)}, tmp_path / "a.pth")
    end = path.read_bytes().rindex(b"PK\x05\x06")
    locator = b"PK\x06\x07" + (1).to_bytes(4, "little") + bytes(8) + (2).to_bytes(4, "little")
    path.write_bytes(path.read_bytes()[:end] + locator + path.read_bytes()[end:])
    try:
        safe_load(path)  # where torch's own reader takes it
    except ZooError as error:
        assert "not a checkpoint" in str(error) and "\n" not in str(error)


def test_programs_and_archives_are_refused_before_anything_loads_them(tmp_path):
    (tmp_path / "storages").write_bytes(b"x")
    with tarfile.open(str(tmp_path / "tar archive"), "w") as archive:
        archive.add(str(tmp_path / "storages"), "storages")
    traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    torch.jit.save(traced, str(tmp_path / "TorchScript program"))
    for kind in ("tar archive", "TorchScript program"):
        with pytest.raises(ZooError, match=f"is a {kind}, not a checkpoint"):
            safe_load(tmp_path / kind)


@pytest.mark.parametrize(
    "content, told",
    [
        # GLOBAL torch FloatStorage, then BUILD with a dictionary of attributes.
        (b"\x80\x02ctorch\nFloatStorage\n}X\x04\x00\x00\x00evilK\x01sb.", "may not be changed"),
        (b"\x80\x04\x8c\x05torch\x8c\x16FloatStorage.from_file\x93.", "not allowed"),
    ],
)
def test_the_allow_list_changes_nothing_and_looks_inside_nothing(content, told):
    with pytest.raises(pickle.UnpicklingError, match=told):
        TensorUnpickler(io.BytesIO(content)).load()
    assert not hasattr(torch.FloatStorage, "evil")
