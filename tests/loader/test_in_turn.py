"""Sequential sources in a loader."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import CallableDataSource, IteratorDataSource, Loader


def epoch_of(loader):
    return [x.tolist() for (x,) in loader]


def in_order_of_index(epoch):
    return sorted(i for batch in epoch for i in batch)


def counted(batch_size, shuffle=None):
    order = np.arange(6) if shuffle is None else shuffle.permutation(6)
    for first in range(0, 6, batch_size):
        yield (order[first : first + batch_size],)


@pytest.mark.parametrize("source", [CallableDataSource(counted, 6), CallableDataSource(counted).map(lambda x: (x,))])
def test_a_source_without_indices_can_be_looped_over(source):
    """Each epoch asks it anew, and gives it a generator of its own to shuffle by."""
    in_order, shuffled = Loader(source, 4), Loader(source, 4, shuffle=5)
    epochs = [epoch_of(shuffled) for _ in range(2)]

    assert [[[0, 1, 2, 3], [4, 5]]] * 2 == [epoch_of(in_order) for _ in range(2)]
    assert [list(range(6))] * 2 == [in_order_of_index(epoch) for epoch in epochs]
    assert epochs[0] != epochs[1]
    assert epochs == [epoch_of(again) for again in [Loader(source, 4, shuffle=5)] for _ in range(2)]


def test_an_iterator_is_used_up_once():
    """Its second epoch is no silent nothing, but an error."""
    loader = Loader(IteratorDataSource(iter([(np.array([1]),), (np.array([2]),)])), 1)

    assert [[1], [2]] == epoch_of(loader)
    with pytest.raises(ValueError, match="epoch 1 has no batches: an iterator is used up by the first epoch"):
        epoch_of(loader)


def test_an_error_of_such_a_source_costs_one_batch():
    """It says which; the loop can go on where the source can."""

    class Failing:
        """Not a generator: it goes on after an error."""

        def __init__(self):
            self.i = -1

        def __iter__(self):
            return self

        def __next__(self):
            self.i += 1
            if self.i == 1:
                raise OSError("no such line")
            if self.i == 3:
                raise StopIteration
            return (np.array([self.i]),)

    loop = iter(Loader(IteratorDataSource(Failing()), 1))
    first = next(loop)
    with pytest.raises(OSError, match="no such line") as caught:
        next(loop)

    assert ["while asking for batch 1 of epoch 0"] == caught.value.__notes__
    assert [[0], [2]] == [x.tolist() for (x,) in [first, *loop]]


def test_an_iterator_of_samples_is_no_iterator_of_batches():
    """What is no batch is refused, and so is a shuffle, which an iterator cannot follow."""
    with pytest.raises(TypeError, match="a batch should be a tuple of arrays, or a dict, not an int"):
        list(Loader((i for i in range(3)), 2))
    with pytest.raises(TypeError, match="shuffle should be left out: IteratorDataSource gives its batches"):
        Loader(iter([(np.arange(3),)]), 2, shuffle=7)


@pytest.mark.parametrize(
    "sample",
    [(np.zeros((2, 2)), 1), (np.zeros(3), np.int64(1)), ("a.jpg", 1), {"image": np.zeros(3), "label": np.array(1)}],
    ids=["image and int", "array and int64", "path and int", "dict"],
)
def test_an_iterator_of_samples_is_none_of_batches(sample):
    """They would go into the loop as if they were some."""
    with pytest.raises(
        TypeError, match="gives batches, not samples; to make batches of samples, use batchup.batch_iter"
    ) as caught:
        next(iter(Loader(iter([sample]), 4)))

    assert "Infinite(samples, batch_size=64" in str(caught.value)


def test_a_batch_may_have_a_number_beside_its_arrays():
    """Such as one for the whole batch."""
    batches = [(np.zeros(3), np.ones(3), 0.5), (np.zeros(3),), {"x": np.zeros(3)}]

    np.testing.assert_equal(list(Loader(iter(batches), 4)), batches)


def test_fields_in_a_list_become_a_tuple():
    """As PyTorch's DataLoader gives them; so conversions and ``for x, y in`` find the fields."""
    ((x, y),) = loaded = list(Loader(iter([[np.arange(3), np.zeros(3)]]), 3))

    assert (tuple, [0, 1, 2], [0, 0, 0]) == (type(loaded[0]), x.tolist(), y.tolist())
