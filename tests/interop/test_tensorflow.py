"""The batches of a loader in TensorFlow."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from batchup import ArrayDataSource, IteratorDataSource, Loader

pytestmark = pytest.mark.timeout(120)

X, y = np.arange(30, dtype=np.float32).reshape(10, 3), np.arange(10)


@pytest.fixture
def tf():
    return pytest.importorskip("tensorflow")


def test_epochs(tf):
    """Each pass is an epoch of the loader, in its order; short batches are in."""
    with Loader([X, y], 4, shuffle=7, pool=2) as loader:
        dataset = loader.to_tf()
        got = [[labels.numpy().tolist() for _, labels in dataset] for _ in range(2)]
    plain = Loader([X, y], 4, shuffle=7)

    assert [[labels.tolist() for _, labels in plain] for _ in range(2)] == got
    assert (2, 0) == (loader.epoch, loader.step)


def test_signature(tf):
    """Types are those of the arrays; the number of samples is open, unless all batches have as many."""
    names = np.array(list("abcdefghij"))
    source = ArrayDataSource({"x": X, "name": names})

    spec = Loader(source, 4).to_tf().element_spec
    assert ([None, 3], tf.float32) == (spec["x"].shape.as_list(), spec["x"].dtype)
    assert tf.string == spec["name"].dtype
    assert [4, 3] == Loader(source, 4, last="drop").to_tf().element_spec["x"].shape.as_list()
    assert [b"a", b"b", b"c", b"d"] == next(iter(Loader(source, 4).to_tf()))["name"].numpy().tolist()


def test_sizes_that_differ(tf):
    """Where the first batches have different sizes, these are open."""
    source = ArrayDataSource([y]).map(lambda i: (np.zeros((len(i), i[-1])),))

    assert [[3], [7], [9]] == [list(x.shape[1:]) for (x,) in Loader(source, 4).to_tf()]


def test_what_has_no_first_batches(tf):
    """Sequential sources, and those without batches, are refused."""
    with pytest.raises(TypeError, match="IteratorDataSource gives its"):
        Loader(IteratorDataSource(iter([(X,)])), 2).to_tf()
    with pytest.raises(ValueError, match="to_tf takes a loader with at least one batch"):
        Loader([X[:0]], 2).to_tf()


def test_without_tensorflow(monkeypatch):
    """The error names what to install."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)

    with pytest.raises(ModuleNotFoundError, match="pip install tensorflow"):
        Loader([X], 2).to_tf()


@pytest.mark.parametrize("is_set", [False, True])
def test_sizes_that_change(monkeypatch, is_set):
    """The types are those of the coming epoch; where the batch size changes, no size is promised."""
    signatures = []
    fake = SimpleNamespace(
        TensorSpec=lambda shape, dtype: tuple(shape),
        as_dtype=np.dtype,
        data=SimpleNamespace(
            Dataset=SimpleNamespace(from_generator=lambda fn, output_signature: signatures.append(output_signature))
        ),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    loader = Loader([X, y], 5 if is_set else lambda epoch: [5, 2][epoch % 2], last="drop")
    for size in (2, 5, 2) if is_set else ():
        list(loader)
        loader.set_batch_size(size)
    loader.to_tf()

    assert [((None, 3), (None,))] == signatures
