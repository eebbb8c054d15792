"""Batches as tensors, and batches that go through a function ahead of the loop."""

import warnings
from collections import namedtuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from batchup import ArrayDataSource, Loader  # noqa: E402
from batchup.interop.torch import as_tensors  # noqa: E402

pytestmark = pytest.mark.timeout(120)

Pair = namedtuple("Pair", "image label")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")


def loader(n=10, **kwargs):
    return Loader([np.arange(n), np.arange(n) / 2], 3, shuffle=7, **kwargs)


def plain(batches):
    return [[np.asarray(part.cpu() if hasattr(part, "cpu") else part).tolist() for part in batch] for batch in batches]


def test_as_tensors_shares_memory():
    """A tensor lies in the memory of its array."""
    array = np.arange(3)
    (tensor,) = as_tensors(array)
    tensor[0] = 7

    assert array[0] == 7


def test_as_tensors_of_nested_batches():
    """Tuples, named tuples and dicts keep their shape; strings, objects, lists and numbers are left alone."""
    names, things = np.array(["a", "b"]), np.array([None, 3], object)
    batch = Pair(np.ones(2, np.float32), {"y": np.zeros(2), "names": names}), things, [1, 2], 5, "text"
    pair, *rest = as_tensors(*batch)

    assert type(pair) is Pair
    assert (torch.float32, torch.float64) == (pair.image.dtype, pair.label["y"].dtype)
    assert pair.label["names"] is names
    assert [things, [1, 2], 5, "text"] == rest


def test_as_tensors_of_a_dict():
    """A source of dicts is mapped to one of dicts."""
    (batch,) = ArrayDataSource({"x": np.arange(3)}).map(as_tensors).batch_iterator(3)

    assert torch.equal(torch.arange(3), batch["x"])


@pytest.mark.parametrize(
    "array",
    [
        np.broadcast_to(np.float32(3), (4,)),
        np.arange(4)[::-1],
        np.arange(4).astype(">f4"),
        np.frombuffer(b"abcd", np.uint8),
        np.array(2.5),
        np.zeros((0, 3)),
    ],
    ids=["read-only", "backwards", "big-endian", "bytes", "a number", "empty"],
)
def test_as_tensors_of_odd_arrays(array):
    """What cannot be shared is copied, without a warning; the values are the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (tensor,) = as_tensors(array)

    assert np.array_equal(array, tensor.numpy())


def test_as_tensors_names_what_it_cannot_convert():
    """An array of a type that PyTorch lacks is an error with the name of the field."""
    with pytest.raises(TypeError, match=r"field 'when' of field 1 of the batch is of type datetime64\[s\]"):
        as_tensors(np.arange(2), {"when": np.zeros(2, "M8[s]")})


@pytest.mark.parametrize("workers", [None, 2])
def test_to_torch(workers):
    """The batches of the loader, as tensors, epoch by epoch; the length and the place are those of the loader."""
    with loader(pool=workers) as source, loader().to_torch() as tensors:
        assert len(source) == len(tensors) == 4
        for _ in range(2):
            assert plain(source) == plain(tensors)
        assert (source.epoch, source.step) == (tensors.epoch, tensors.step) == (2, 0)
        assert all(isinstance(part, torch.Tensor) for part in next(iter(tensors)))


def test_resume():
    """The rest of an epoch, as tensors."""
    tensors = loader().to_torch()
    head = [next(iter(tensors))]

    assert plain(loader()) == plain([*head, *tensors.resume()])


def test_to_torch_from_processes():
    """Batches in shared memory become tensors there, and stay as they are while the loop goes on."""
    from batchup import WorkerProcessPool

    with WorkerProcessPool(1) as pool:
        source = Loader([np.arange(40_000).reshape(40, 1000)], 4, pool=pool)
        tensors = [x for (x,) in source.to_torch()]

    assert torch.equal(torch.arange(40_000).reshape(40, 1000), torch.cat(tensors))


def test_dtype_is_that_of_floats():
    """`dtype` is for floating-point tensors; labels stay integers."""
    x, y = next(iter(Loader([np.zeros(3), np.arange(3)], 3).to_torch(dtype=torch.float16)))

    assert (torch.float16, torch.int64) == (x.dtype, y.dtype)


def test_pin_memory_without_a_gpu():
    """Without a GPU there is no pinned memory, and nothing is said."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = plain(loader().to_torch(pin_memory=True))

    assert plain(loader()) == batches


def test_to_a_device():
    """Batches are moved to the device, ahead of the loop."""
    with loader().to_torch("meta") as tensors:
        devices = {part.device.type for batch in tensors for part in batch}

    assert {"meta"} == devices


@GPU
def test_on_a_gpu():
    """Batches come on the GPU as they are on the CPU, and stay as they are while the loop goes on."""
    with loader(1000).to_torch("cuda") as tensors:
        batches = list(tensors)

    assert all(part.is_cuda for batch in batches for part in batch)
    assert plain(loader(1000)) == plain(batches)


@GPU
def test_pinned_memory():
    """With a GPU, and without a device, batches are in pinned memory."""
    with loader().to_torch(pin_memory=True) as tensors:
        assert all(part.is_pinned() for batch in tensors for part in batch)
