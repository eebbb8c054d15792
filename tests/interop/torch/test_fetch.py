"""What is done for one batch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import Subset, TensorDataset, default_collate  # noqa: E402

from batchup.interop.torch.fetch import ENDED, IterableFetch, MapFetch, TakeFetch, takes  # noqa: E402

X, Y = torch.arange(20).reshape(10, 2), torch.arange(10.0)


def batch_of(fetch, pick, step=0, **task):
    result = fetch(pick, 0, step, 7, *task.values())
    return result if result is ENDED else result[0]


@pytest.mark.parametrize("pick", [[0], [3, 9, 3], [-1, 2], []], ids=str)
def test_a_take_gives_what_single_samples_give(pick):
    """Negative indices count from the end, as in the dataset; nothing to collate is an error in both."""
    dataset = TensorDataset(X, Y)
    one_by_one = MapFetch(dataset, default_collate, 0, None, True)
    if not pick:
        for fetch in (one_by_one, takes(dataset, default_collate)):
            with pytest.raises((IndexError, RuntimeError)):
                batch_of(fetch, pick)
        return

    expected, found = batch_of(one_by_one, pick), batch_of(takes(dataset, default_collate), pick)

    assert [each.tolist() for each in expected] == [each.tolist() for each in found]


def test_a_take_of_a_subset():
    """Indices of the subset are looked up first."""
    fetch = takes(Subset(TensorDataset(X, Y), [9, 4, 0]), default_collate)

    assert [4.0, 9.0] == batch_of(fetch, [1, 0])[1].tolist()


def test_where_single_samples_may_be_something_else():
    """A function of the user's own, a class derived from TensorDataset, tensors with a gradient: no take."""

    class Own(TensorDataset):
        pass

    assert isinstance(takes(TensorDataset(X), default_collate), TakeFetch)
    assert takes(TensorDataset(X), list) is None
    assert takes(Own(X), default_collate) is None
    assert takes(TensorDataset(torch.ones(2, requires_grad=True)), default_collate) is None


def test_random_samples_depend_on_epoch_seed_and_step():
    """Not on what was fetched before; the program's own generators go on as if nothing had been drawn."""

    class Noisy:
        def __getitem__(self, i):
            return torch.rand(1).item(), np.random.random()

    fetch = MapFetch(Noisy(), list, 0, None, True)
    torch.manual_seed(1)
    expected_next = torch.rand(1).item()
    torch.manual_seed(1)
    first, second, again = batch_of(fetch, [0], 0), batch_of(fetch, [0], 1), batch_of(fetch, [0], 0)

    assert first == again
    assert first != second
    assert expected_next == torch.rand(1).item()


def test_a_failing_sample_is_named():
    """By the class of the dataset and the index."""
    with pytest.raises(ZeroDivisionError) as caught:
        batch_of(MapFetch(Failing(), list, 0, None, True), [3, 0])

    assert ["in Failing[0]"] == caught.value.__notes__


class Failing:
    def __getitem__(self, i):
        return 1 / i


@pytest.mark.parametrize(("drop_last", "expected"), [(False, [[0, 1], [2, 3], [4]]), (True, [[0, 1], [2, 3]])])
def test_batches_of_an_iterable_dataset(drop_last, expected):
    """By their number, until there are no more; a process that comes later runs up to the batch."""
    fetch = IterableFetch(range(5), list, 0, None, 2, drop_last)
    later = pickle.loads(pickle.dumps(fetch))

    assert [*expected, ENDED, ENDED] == [batch_of(fetch, k) for k in range(len(expected) + 2)]
    assert expected[1] == batch_of(later, 1)


def test_single_samples_of_an_iterable_dataset():
    """Without a batch size nothing is put together."""
    fetch = IterableFetch("ab", str, 0, None, None, False)

    assert ["a", "b", ENDED] == [batch_of(fetch, k) for k in range(3)]
