"""Batches as tensors, and batches that go through a function ahead of the loop."""

import itertools
import threading
import warnings
from collections import namedtuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from batchup import ArrayDataSource, Loader  # noqa: E402
from batchup.interop.prefetch import Prefetched  # noqa: E402
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


def test_the_state_counts_what_the_loop_has():
    """What was put ahead does not count: another loader goes on at the exact next batch."""
    put, third = [], threading.Event()

    def note(batch):
        put.append(batch)
        if len(put) == 3:
            third.set()
        return batch

    with Prefetched(loader(), note, depth=2) as ahead, Prefetched(loader(), note) as other:
        batches = iter(ahead)
        next(batches)
        assert third.wait(30)  # two more are ready
        state = ahead.state_dict()
        other.load_state_dict(state)

        assert (0, 1) == (ahead.epoch, ahead.step) == (state["epoch"], state["step"])
        assert plain(batches) == plain(other)
        assert plain(ahead) == plain(other)


@pytest.mark.parametrize("taken", range(6))
def test_a_state_goes_between_prefetched_and_plain(taken):
    """With prefetch and without, the states at each step are the same, and load into each other."""
    with Prefetched(loader(), lambda batch: batch) as ahead:
        plain_one, third = loader(), loader()
        assert plain(itertools.islice(ahead.steps(taken), taken)) == plain(plain_one.steps(taken))
        assert ahead.state_dict() == plain_one.state_dict()
        third.load_state_dict(ahead.state_dict())
        assert plain(third.steps(4)) == plain(plain_one.steps(4))


@pytest.mark.parametrize("taken", range(5))
def test_a_loop_that_is_left(taken):
    """A loop that is left early has the same next epoch as without prefetch."""
    with Prefetched(loader(), lambda batch: batch) as ahead:
        plain_one = loader()
        for each in (ahead, plain_one):
            for _ in zip(range(taken), each, strict=False):
                pass

        assert plain(plain_one) == plain(ahead)


def test_a_batch_that_cannot_be_moved_is_not_lost():
    """An error while moving names the batch; the next call tries it again."""
    failing = [True]

    def move(batch):
        if batch[0][0] == expected[1][0][0] and failing.pop():
            raise RuntimeError("out of memory")
        return batch

    expected = plain(loader())
    failing = [False, True]
    with Prefetched(loader(), move, depth=1) as ahead:
        batches = iter(ahead)
        first = next(batches)
        with pytest.raises(RuntimeError, match="out of memory") as caught:
            next(batches)

        assert ["while moving batch 1 of epoch 0; the next call tries it again"] == caught.value.__notes__
        assert expected == plain([first, *batches])


def test_an_error_of_the_data_passes_through():
    """An error of the source has its place, with what is moved ahead."""

    def fail(x, y):
        if 0 in x:
            raise ValueError("broken")
        return x, y

    source = ArrayDataSource([np.arange(9), np.arange(9)]).map(fail)
    with Prefetched(Loader(source, 3), lambda batch: batch) as ahead:
        batches = iter(ahead)
        with pytest.raises(ValueError, match="broken") as caught:
            next(batches)

        assert "while fetching batch 0 of epoch 0 (samples 0, 1, 2)" in caught.value.__notes__
        assert [[3, 4, 5], [6, 7, 8]] == [batch[0].tolist() for batch in batches]


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
