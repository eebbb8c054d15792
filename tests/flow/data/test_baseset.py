"""Sets of items: what indices and datasets do alike."""

import pytest

from batchup.flow import Baseset, Dataset, DatasetIndex


@pytest.mark.parametrize("items", [DatasetIndex(10), Dataset(10)])
def test_indices_and_datasets_give_batches_and_parts_alike(items):
    """Both have the same options, the same batches and the same parts."""
    items.split([0.5, 0.3])

    found = [batch.indices.tolist() for batch in items.gen_batch(4, shuffle=7, n_epochs=1)]

    assert isinstance(items, Baseset)
    assert found == [batch.indices.tolist() for batch in Dataset(10).gen_batch(4, shuffle=7, n_epochs=1)]
    assert [5, 3, 2] == [len(part) for part in (items.train, items.test, items.validation)]
    assert (5, 3, 2) == items.calc_split([0.5, 0.3])
    with pytest.raises(TypeError, match="does not take 'shufle'; did you mean 'shuffle'"):
        items.gen_batch(2, shufle=1)
