"""The values of a setting: which epoch has which, what a state says, and what is taken from one."""

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader, WeightedSampler
from batchup.loader.changes import Setting, size_and_mark, size_of_a_state, weights_and_mark


def sizes(*changes):
    setting = Setting("batch_size", size_and_mark, value_of=size_of_a_state)
    for value, epoch in changes:
        setting = setting.set(value, epoch)
    return setting


def test_a_value_holds_until_the_next_one():
    """What is set later for an epoch replaces what was set for it, and for those after it."""
    assert [None, 5, 5] == [sizes((5, 1)).at(epoch).value for epoch in (0, 1, 9)]
    assert [5, 8, 8] == [sizes((5, 1), (8, 2)).at(epoch).value for epoch in (1, 2, 9)]
    assert [9, 9] == [sizes((5, 2), (8, 3), (9, 2)).at(epoch).value for epoch in (2, 3)]


def test_only_the_last_two_values_are_held():
    """Weights are large; what came before is not known any more."""
    setting = sizes((5, 1), (6, 2), (7, 3))

    assert [6, 7] == [setting.at(epoch).value for epoch in (2, 3)]
    with pytest.raises(ValueError, match="batch_size of epoch 1 is not known"):
        setting.at(1)


def test_a_function_is_called_once_per_epoch():
    """Its results are kept for the epochs at hand."""
    calls = []
    setting = Setting("batch_size", size_and_mark, lambda epoch: calls.append(epoch) or epoch + 1)

    assert [1, 2, 1, 2] == [setting.at(epoch).value for epoch in (0, 1, 0, 1)]
    assert [0, 1] == calls
    assert (None, False) == (setting.state(0), setting.is_as_made)


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_a_state_has_the_value_of_its_epoch_and_the_next_one(epoch):
    """So it can be restored by who was told nothing, or the same."""
    setting = sizes((5, 1), (8, 3)) if epoch else sizes((5, 1))
    marks = setting.state(epoch)

    for fresh in (sizes(), sizes((setting.entries[-1].value, 0))):
        restored = fresh.restored(marks, epoch)
        assert [setting.at(epoch).value, setting.at(epoch + 3).value] == [
            restored.at(epoch).value,
            restored.at(epoch + 3).value,
        ]
        assert marks == restored.state(epoch)


def test_what_was_never_set_has_no_mark():
    """States of plain loaders are as they were."""
    assert sizes().is_as_made
    assert None is sizes().state(3) is sizes((None, 1)).state(3)


# In the state of a loader.

A, B, C, D = [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]


def told(*weights):
    ds = ArrayDataSource([np.arange(3)], sampler=WeightedSampler(np.ones(3), num_samples=6))
    loader = Loader(ds, 2, shuffle=7)
    for each in weights:
        loader.set_weights(each)
    return loader


def epochs(loader, n):
    return [[x.tolist() for (x,) in loader] for _ in range(n)]


def test_weights_of_the_first_epoch_can_be_loaded():
    """In the loader itself, and in a new one that was told them."""
    loader, again = told(A), told(A)
    loader.load_state_dict(loader.state_dict())
    again.load_state_dict(loader.state_dict())

    assert [[[0, 0]] * 3] == epochs(loader, 1) == epochs(again, 1)


@pytest.mark.parametrize("saved", [(A, B, C), (A, C), (C, A), (C, A, D, B)])
def test_weights_may_be_set_in_any_order_before_a_load(saved):
    """Those of this epoch and of the next one are found, whatever else was set."""
    loader = told(A)
    next(iter(loader))
    loader.set_weights(B)
    loader.set_weights(C)
    again = told(*saved)
    again.load_state_dict(loader.state_dict())

    assert [[[0, 0]] * 2, [[2, 2]] * 3] == epochs(again, 2)


@pytest.mark.parametrize(("saved", "known"), [((B, C), "this"), ((A, B), "the next")])
def test_weights_that_were_never_set_are_missing(saved, known):
    """Of this epoch, or of the next one."""
    loader = told(A)
    next(iter(loader))
    loader.set_weights(C)

    with pytest.raises(ValueError, match="the state has weights .* from set_weights, but they were not set here"):
        told(*saved).load_state_dict(loader.state_dict())


def test_weights_of_a_state_replace_those_that_were_set():
    """Also where the state is from before all of them."""
    loader = told()
    state, expected = loader.state_dict(), epochs(told(), 2)
    loader.set_weights(A)
    loader.load_state_dict(state)

    assert expected == epochs(loader, 2)


@pytest.mark.parametrize(("sizes", "expected"), [([4], [[0, 1, 2, 3], [4]]), ([], [[0, 1], [2, 3], [4]])])
def test_a_batch_size_can_be_rolled_back(sizes, expected):
    """It is part of the state."""
    loader = Loader([np.arange(5)], 2)
    for size in sizes:
        loader.set_batch_size(size)
    state = loader.state_dict()
    loader.set_batch_size(3)
    loader.load_state_dict(state)

    assert [expected] * 2 == epochs(loader, 2)


def test_states_can_be_loaded_one_after_the_other():
    """What one of them had is gone with the next one, also where only the state told it."""
    early = Loader([np.arange(5)], 2)
    states = [early.state_dict()]
    list(early)
    early.set_batch_size(3)
    states.append(early.state_dict())
    loader = Loader([np.arange(5)], 2)
    for state in reversed(states):
        loader.load_state_dict(state)

    assert [[[0, 1], [2, 3], [4]]] * 2 == epochs(loader, 2)


def test_a_run_that_sets_many_values_holds_two():
    """Weights are large."""
    setting = Setting("weights", weights_and_mark)
    for i in range(1, 9):
        setting = setting.set([i, 0, 0], 1, place=(0, i))

    assert [[7, 0, 0], [8, 0, 0]] == [entry.value.tolist() for entry in setting.given]


def test_a_set_value_is_refused_where_a_function_decides():
    """The error says what to make."""
    loader = Loader([np.arange(5)], 2)
    loader.set_batch_size(3)

    with pytest.raises(ValueError, match="with set_batch_size, but this loader was made with batch_size as a function"):
        Loader([np.arange(5)], lambda epoch: 2).load_state_dict(loader.state_dict())
