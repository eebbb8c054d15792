"""Views of any strides, and tensors of PyTorch: workers share their memory, once for all views of one array."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from batchup.engine.process import constants, pickling

X = np.random.default_rng(0).normal(size=(1000, 40))
windows = np.lib.stride_tricks.sliding_window_view


@pytest.fixture(autouse=True)
def no_constant_stays():
    """What this process has loaded as if it were a worker."""
    yield
    constants._constants.clear()


@pytest.mark.parametrize(
    ("obj", "size"),
    [
        (windows(X.ravel(), 50), 1.0),
        ([X, windows(X.ravel(), 50), windows(X, 3, axis=0)], 1.0),
        ([X[:600], X[400:], X], 1.0),
        ([X[::2], X[1::2]], 1.0),
        (X[:, 3], 1 / 40),
        (X[::-1], 1.0),
        (X[::-1, ::-1].T, 1.0),
        (X.T, 1.0),
        (X.reshape(100, 10, 40).transpose(1, 0, 2), 1.0),
        (np.broadcast_to(X[:1], (1000, 1000, 40)), 0.001),
        ({"one": X, "same": X.view("u8"), "rows": X[5:7]}, 1.0),
        ([X[3:3], X[:, :0], X[:1, :1], np.array(3.0)], 0.0),
        (X.view([("a", "f8"), ("b", "f8")])["b"], 0.5),
    ],
    ids=range(13),
)
def test_the_memory_of_views_is_sent_once(obj, size):
    """The same values, dtypes and shapes, in no more memory than they are views of; also if they are sent again."""
    constant = constants.Constant(obj)
    loaded = pickle.loads(constant.reference)

    np.testing.assert_equal(loaded, obj)
    assert constant.nbytes < size * X.nbytes + 5000
    assert constant.holds(obj)
    assert all(not array.flags.writeable and array.flags.aligned for array in arrays_in(loaded))
    constant.close()


def arrays_in(obj):
    if isinstance(obj, np.ndarray):
        return [obj]
    return list(obj.values() if isinstance(obj, dict) else obj)


def test_a_change_is_seen_through_a_view():
    """A single value of its base."""
    base = np.zeros(1000)
    view = windows(base, 10)
    constant = constants.Constant([view])
    base[500] = 1

    assert not constant.holds([view])
    constant.close()


def test_values_that_overlap_keep_their_alignment():
    """Numbers that begin at an odd place of other memory do not, for a worker."""
    memory = np.zeros(1003, np.uint8)
    shift = -memory.__array_interface__["data"][0] % 8
    numbers = memory[shift : shift + 800].view("f8")
    constant = constants.Constant([memory[max(0, shift - 1) :], numbers])
    loaded = pickle.loads(constant.reference)

    assert loaded[1].flags.aligned
    constant.close()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn", "int64", "bool"])
def test_the_memory_of_tensors_is_sent_once(dtype):
    """Of any type of numbers; views of one tensor share it."""
    torch = pytest.importorskip("torch")
    tensor = torch.arange(100_000).reshape(1000, 100).to(getattr(torch, dtype))
    obj = {"whole": tensor, "rows": tensor[100:], "turned": tensor.T, "windows": tensor.unfold(0, 10, 1)}
    constant = constants.Constant(obj)
    loaded = pickle.loads(constant.reference)

    assert constant.nbytes < tensor.nbytes + 5000
    for name, value in obj.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name].to(torch.float64), value.to(torch.float64))
    constant.close()


def test_tensors_that_are_more_than_memory_are_pickled_by_pytorch():
    """Those that ask for gradients, are sparse, or have attributes."""
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.ones(3))
    grown = torch.ones(3, requires_grad=True)
    sparse = torch.eye(3).to_sparse()
    attributed = torch.ones(3)
    attributed.note = "text"
    header, buffers = pickling.dumps([parameter, grown, sparse, attributed, torch.ones(3).conj()])
    loaded = pickle.loads(header, buffers=buffers)

    assert [True, True, False] == [each.requires_grad for each in loaded[:3]]
    assert isinstance(loaded[0], torch.nn.Parameter)
    assert loaded[2].is_sparse
    assert "text" == loaded[3].note
