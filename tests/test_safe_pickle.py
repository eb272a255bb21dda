"""Data out of pickles without running them."""

from __future__ import annotations

import collections
import pickle

import numpy as np
import pytest

from common.core.errors import ZooError
from common.data.safe_pickle import StoredArray, load_data_pickle

PROTOCOLS = range(0, 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_comes_back_as_it_was(protocol):
    data = {"numbers": [1, -2, 3.5, 2**70], "text": "Bär", "none": None, "pair": (True, b"\xff")}
    assert load_data_pickle(pickle.dumps(data, protocol), "file") == data


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i2", "<f4"])
def test_arrays_come_back_as_they_were(protocol, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    loaded = load_data_pickle(pickle.dumps(array, protocol), "file")
    assert isinstance(loaded, StoredArray)
    assert loaded.to_numpy().dtype == array.dtype
    assert (loaded.to_numpy() == array).all()


def test_fortran_order_and_arrays_of_python_2_are_read():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    loaded = load_data_pickle(pickle.dumps(array, 2), "file")
    assert (loaded.to_numpy() == array).all()
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x02\x07\xfetb."
    )
    assert load_data_pickle(content, "file").to_numpy().tolist() == [7, 254]


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"cnumpy\nload\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
    ],
)
def test_any_other_name_is_refused_with_one_line(content):
    with pytest.raises(ZooError, match="^file: refused") as caught:
        load_data_pickle(content, "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content, told",
    [
        (pickle.dumps(collections.OrderedDict(a=1)), "collections.OrderedDict"),
        (pickle.dumps(np.array([{}], dtype=object), 2), "not a plain number"),
        # One that would change how the next is read.
        (b"cnumpy.core.multiarray\n_reconstruct\n(N(S'__name__'\nS'changed'\ndtb.", "file: "),
    ],
)
def test_objects_and_arrays_of_objects_are_refused_too(content, told):
    with pytest.raises(ZooError, match=told):
        load_data_pickle(content, "file")


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x80\x02](K", b"\x80\x09N.", b"\x82\x01.", b"Pname\n.", b"0."]
)
def test_a_damaged_pickle_is_one_line(content):
    with pytest.raises(ZooError, match="^file: ") as caught:
        load_data_pickle(content, "file")
    assert "\n" not in str(caught.value)


def test_a_large_number_of_a_memos_place_takes_no_memory():
    content = b"\x80\x02Nr\xff\xff\xff\x7f."  # LONG_BINPUT of 2^31 - 1
    assert load_data_pickle(content, "file") is None
