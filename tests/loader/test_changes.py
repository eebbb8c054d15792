"""The values of a setting: which epoch has which, what a state says, and what is taken from one."""

import pytest

from batchup.loader.changes import Setting, size_and_mark


def sizes(*changes):
    setting = Setting("batch_size", size_and_mark)
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
