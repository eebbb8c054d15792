"""Batches as tensors, and batches that go through a function ahead of the loop."""

import itertools
import warnings
from collections import namedtuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from batchup import ArrayDataSource, Loader  # noqa: E402
from batchup.interop.prefetch import Prefetched  # noqa: E402
from batchup.interop.torch import as_tensors, to_torch  # noqa: E402

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


def halved(batch):
    """A function of tensors; of arrays it would raise an error."""
    x, y = batch
    return x.to(torch.float64) / 2, y.neg()


AHEAD = {
    "method": lambda: loader().to_torch().prefetch_to(halved, depth=3),
    "class": lambda: Prefetched(loader().to_torch(), halved, depth=3),
    "outer": lambda: loader().to_torch().prefetch_to(lambda batch: batch).prefetch_to(halved),
    "inner": lambda: to_torch(loader().prefetch_to(lambda batch: batch)).prefetch_to(halved),
    "device": lambda: loader().to_torch("cpu", dtype=torch.float64).prefetch_to(halved),
}


@pytest.mark.parametrize("make", AHEAD.values(), ids=AHEAD)
@pytest.mark.parametrize("taken", [0, 1, 4, 6])
def test_a_function_of_tensors_ahead_of_the_loop(make, taken):
    """It runs in one thread. The state counts what the loop has received, and is that of the loader alone."""
    expected = [[(x / 2).tolist(), (-y).tolist()] for x, y in loader().steps(9)]
    plain_one = loader()
    list(plain_one.steps(taken))

    with make() as first, make() as second:
        head = plain(itertools.islice(first.steps(9), taken))
        state = first.state_dict()
        second.load_state_dict(state)

        assert plain_one.state_dict() == state
        assert expected == head + plain(second.steps(9 - taken))
        assert expected[taken:] == plain(first.steps(9 - taken))


def test_a_function_of_tensors_over_epochs():
    """A loop that is left, the rest of its epoch, single batches and lengths are as without it."""
    with loader().to_torch().prefetch_to(halved) as ahead:
        x, y = next(iter(loader()))
        head = [next(iter(ahead))]
        tail = ahead.resume()
        left = len(tail)

        assert (4, 3) == (len(ahead), left)
        assert plain(map(halved, loader().to_torch())) == plain([*head, *tail])
        assert (1, 0) == (ahead.epoch, ahead.step)
        assert plain([halved((torch.from_numpy(x), torch.from_numpy(y)))]) == plain([ahead.batch(0, 0)])
        ahead.set_batch_size(5)
        assert [5, 5] == [len(part) for part, _ in ahead]


def test_a_function_of_tensors_that_fails_gets_the_same_batch_again():
    """As with arrays: no batch is lost."""
    failing = [False, True]

    def fail(batch):
        if failing and failing.pop():
            raise RuntimeError("out of memory")
        return batch

    with loader().to_torch().prefetch_to(fail, depth=1) as ahead:
        batches = iter(ahead)
        with pytest.raises(RuntimeError, match="out of memory"):
            next(batches)

        assert plain(loader()) == plain(batches)


def test_cuda_is_the_current_gpu_of_the_caller(monkeypatch):
    """The thread that moves batches has a current one of its own."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)

    assert torch.device("cuda:3") == loader().to_torch("cuda")._put.device
    assert torch.device("cuda:1") == loader().to_torch("cuda:1")._put.device


@GPU
def test_a_function_of_tensors_on_a_gpu():
    """Its results are there when the loop uses them, in any stream."""
    with loader(1000).to_torch("cuda").prefetch_to(halved) as ahead, torch.cuda.stream(torch.cuda.Stream()):
        batches = list(ahead)

    assert all(part.is_cuda for batch in batches for part in batch)
    assert plain(map(halved, loader(1000).to_torch())) == plain(batches)
