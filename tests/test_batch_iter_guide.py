"""The programs of the deep_pipe guide to batch iterators run as they stand there, but for their imports and sleeps."""

import os
import threading
import time

import numpy as np
import pytest

from batchup.batch_iter import Infinite, Loky, Threads, apply_at, combine_pad, sample, unpack_args

ndimage = pytest.importorskip("scipy.ndimage")

pytestmark = pytest.mark.timeout(60)


def zoom(x, scale_factor):
    return ndimage.zoom(x, scale_factor, order=1)


@pytest.fixture(scope="module")
def dataset():
    """Pairs of an image of 28 x 28 and a label, by index."""
    rng = np.random.RandomState(0)
    return [(rng.randint(0, 256, (28, 28), np.uint8), i % 10) for i in range(100)]


@pytest.fixture(scope="module")
def images():
    rng = np.random.RandomState(0)
    return [rng.randn(10, 10, rng.randint(2, 40)) for _ in range(100)]


@pytest.fixture(scope="module")
def labels():
    return np.random.RandomState(1).randint(0, 2, size=30)


def shapes(epoch):
    return [(xs.shape, ys.shape) for xs, ys in epoch]


def test_sampling(dataset):
    """10 batches of size 30 each epoch, and again, until it is closed."""
    batch_iter = Infinite(
        sample(dataset),  # randomly sample from the dataset
        batch_size=30,
        batches_per_epoch=10,
    )

    for x, y in sample(dataset):
        assert (28, 28) == x.shape
        assert 0 <= y < 10
        break

    assert [((30, 28, 28), (30,))] * 10 == shapes(batch_iter())
    assert [((30, 28, 28), (30,))] * 10 == shapes(batch_iter())
    batch_iter.close()


def test_a_context_manager(dataset):
    """The end of ``with`` closes the batch iterator."""
    before = set(threading.enumerate())
    batch_iter = Infinite(
        sample(dataset),
        batch_size=30,
        batches_per_epoch=10,
    )

    with batch_iter:
        assert [((30, 28, 28), (30,))] * 10 == shapes(batch_iter())
    assert before >= set(threading.enumerate())


def test_transformations(dataset):
    """A function of the pair."""

    def zoom_image(pair):
        image, label = pair
        return zoom(image, scale_factor=[2, 2]), label

    batch_iter = Infinite(
        sample(dataset),  # yields pairs
        zoom_image,  # zoom the images by a factor of 2
        batch_size=30,
        batches_per_epoch=3,
    )

    with batch_iter:
        assert [((30, 56, 56), (30,))] * 3 == shapes(batch_iter())


def test_unpacked_arguments(dataset):
    """A function of image and label, and a lambda that returns a list."""

    def zoom_image(image, label):
        return zoom(image, scale_factor=[2, 2]), label

    batch_iter = Infinite(
        sample(dataset),
        unpack_args(zoom_image),  # unpack the arguments before calling the function
        batch_size=30,
        batches_per_epoch=3,
    )

    with batch_iter:
        assert [((30, 56, 56), (30,))] * 3 == shapes(batch_iter())

    # or use a lambda directly
    batch_iter = Infinite(
        sample(dataset),
        unpack_args(lambda image, label: [zoom(image, scale_factor=[2, 2]), label]),
        batch_size=30,
        batches_per_epoch=3,
    )

    with batch_iter:
        assert [((30, 56, 56), (30,))] * 3 == shapes(batch_iter())


def test_apply_at(dataset):
    """The image alone, with an additional argument."""
    batch_iter = Infinite(
        sample(dataset),
        # apply zoom at index 0 of the pair with scale_factor=[2, 2] as an additional argument
        apply_at(0, zoom, scale_factor=[2, 2]),
        batch_size=30,
        batches_per_epoch=3,
    )

    with batch_iter:
        assert [((30, 56, 56), (30,))] * 3 == shapes(batch_iter())


SQUARES = [n**2 for n in range(10)]


def test_one_function_in_the_background():
    """One item at a time, in a thread that is not the loop's."""
    at_work, most, threads = [], [], set()

    def do_stuff(x):
        at_work.append(x)
        most.append(len(at_work))
        threads.add(threading.get_ident())
        at_work.remove(x)
        return (x**2,)

    batch_iter = Infinite(range(10), do_stuff, batch_size=10, batches_per_epoch=1)

    for value in batch_iter():
        assert SQUARES == value[0].tolist()
    assert 1 == max(most)
    assert 1 == len(threads - {threading.get_ident()})


def test_threads():
    """Two workers halve the wait: each item meets the one beside it, so two are at work at a time, all the time."""
    pair = threading.Barrier(2)

    def do_stuff(x):
        pair.wait(30)
        return (x**2,)

    batch_iter = Infinite(range(10), Threads(do_stuff, n_workers=2), batch_size=10, batches_per_epoch=1)

    for value in batch_iter():
        assert SQUARES == value[0].tolist()


def test_processes(tmp_path):
    """Two workers halve the wait: items in one process wait for an item in another one."""

    def do_stuff(x):
        (tmp_path / str(os.getpid())).touch()
        until = time.monotonic() + 30
        while len(os.listdir(tmp_path)) < 2 and time.monotonic() < until:
            time.sleep(0.001)
        assert len(os.listdir(tmp_path)) == 2
        return (x**2,)

    batch_iter = Infinite(range(10), Loky(do_stuff, n_workers=2), batch_size=10, batches_per_epoch=1)

    for value in batch_iter():
        assert SQUARES == value[0].tolist()


def test_padding(images, labels):
    """Images of various shapes are padded to the largest of their batch."""
    batch_iter = Infinite(
        sample(list(zip(images, labels))),
        batch_size=5,
        batches_per_epoch=3,
        #     pad and combine
        combiner=combine_pad,
    )

    with batch_iter:
        for xs, ys in batch_iter():
            assert (5, 10, 10) == xs.shape[:3]
            assert (5,) == ys.shape
            assert xs[..., 0].any() or xs[..., -1].any()


def test_an_adaptive_batch_size(images, labels):
    """As many images as have at most 100 slices."""

    def should_add(seq, item):
        # seq - sequence of already added objects to the batch
        # item - the next item

        count = 0
        for image, label in seq + [item]:
            count += image.shape[-1]

        return count <= 100

    counted = []

    def combine(items, **kwargs):
        counted.append(sum(image.shape[-1] for image, label in items))
        return combine_pad(items, **kwargs)

    batch_iter = Infinite(
        sample(list(zip(images, labels))), batch_size=should_add, batches_per_epoch=3, combiner=combine
    )

    with batch_iter:
        assert all(len(xs) == len(ys) >= 2 for xs, ys in batch_iter())
    assert all(60 < slices <= 100 for slices in counted)
