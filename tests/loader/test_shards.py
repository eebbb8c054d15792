"""Several ranks share one plan: each has its own batches, and together they have the epoch."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, Loader
from batchup.testing import batch_sizes, plain, sources


def arrays(n=10):
    return ArrayDataSource([np.arange(n)])


def ranks(world, *args, **kwargs):
    """The epoch of each rank."""
    return [plain(list(Loader(*args, shard=(rank, world), **kwargs))) for rank in range(world)]


def in_turns(epochs):
    """The batches of all ranks, in the order of the plan."""
    return [batch for each in itertools.zip_longest(*epochs) for batch in each if batch is not None]


worlds = st.integers(1, 5)
seeds = st.none() | st.integers(0, 99)


@given(st.integers(0, 40), batch_sizes(9), worlds, seeds)
def test_the_union_of_all_ranks_is_the_epoch(n, batch_size, world, seed):
    """In turns they give the batches that a single process would get, without repeats and with none lost."""
    found = ranks(world, arrays(n), batch_size, shuffle=seed, remainder="uneven")

    assert plain(list(Loader(arrays(n), batch_size, shuffle=seed))) == in_turns(found)


@pytest.mark.slow
@given(st.data(), batch_sizes(25), worlds, st.integers(0, 99))
def test_the_union_is_the_epoch_for_any_source(data, batch_size, world, seed):
    """With random transforms, with weights, and without an end."""
    ds = data.draw(sources(weighted=True, random=True, batch_size=batch_size))
    loaders = [Loader(ds, batch_size, shuffle=seed, shard=(i, world), remainder="uneven") for i in range(world)]
    found = [plain(list(itertools.islice(loader, 4))) for loader in loaders]

    assert plain(list(itertools.islice(Loader(ds, batch_size, shuffle=seed), 4 * world))) == in_turns(found)


@given(st.integers(0, 40), batch_sizes(9), worlds, seeds)
def test_drop_leaves_out_less_than_a_round(n, batch_size, world, seed):
    """All ranks have equal numbers of steps; what is left out is the end of the plan."""
    found = ranks(world, arrays(n), batch_size, shuffle=seed)
    whole = plain(list(Loader(arrays(n), batch_size, shuffle=seed)))

    assert [len(whole) // world] * world == [len(each) for each in found]
    assert whole[: len(whole) // world * world] == in_turns(found)


@given(st.integers(0, 40), batch_sizes(9), worlds, seeds)
def test_pad_gives_all_batches_and_repeats_some(n, batch_size, world, seed):
    """All ranks have equal numbers of steps; the last round is filled with batches of its own."""
    found = ranks(world, arrays(n), batch_size, shuffle=seed, remainder="pad")
    whole = plain(list(Loader(arrays(n), batch_size, shuffle=seed)))
    rounds = -(-len(whole) // world)
    last = whole[(rounds - 1) * world :]

    assert [rounds] * world == [len(each) for each in found]
    assert whole[: (rounds - 1) * world] + list(itertools.islice(itertools.cycle(last), world if last else 0)) == (
        in_turns(found)
    )


@given(st.integers(0, 40), batch_sizes(9), worlds, seeds)
def test_padded_repeats_are_not_valid(n, batch_size, world, seed):
    """With last="pad", the valid samples of all ranks are the epoch, each once."""
    loaders = [
        Loader(arrays(n), batch_size, shuffle=seed, shard=(rank, world), remainder="pad", last="pad")
        for rank in range(world)
    ]

    assert list(range(n)) == sorted(i for loader in loaders for x, valid in loader for i in x[valid].tolist())
    assert 1 == len({loader.epoch for loader in loaders}) == len({len(loader) for loader in loaders})


def test_uneven_gives_some_ranks_one_batch_less():
    """The last ones."""
    found = ranks(3, arrays(10), 2, remainder="uneven")

    assert [2, 2, 1] == [len(each) for each in found]


@pytest.mark.parametrize("remainder", ["drop", "pad", "uneven"])
def test_each_rank_knows_its_length(remainder):
    """`len` is that of the rank."""
    loaders = [Loader(arrays(10), 2, shard=(rank, 3), remainder=remainder) for rank in range(3)]

    assert [len(list(loader)) for loader in loaders] == [len(loader) for loader in loaders]


@pytest.mark.parametrize("remainder", ["drop", "pad", "uneven"])
def test_a_state_of_one_rank_is_one_for_all(remainder):
    """Every rank goes on from the state of the first at its own place."""
    loaders = [Loader(arrays(40), 2, shuffle=5, shard=(rank, 3), remainder=remainder) for rank in range(3)]
    for loader in loaders:
        list(itertools.islice(loader, 4))
    state = json.loads(json.dumps(loaders[0].state_dict()))
    again = [Loader(arrays(40), 2, shuffle=5, shard=(rank, 3), remainder=remainder) for rank in range(3)]
    for loader in again:
        loader.load_state_dict(state)

    assert [[plain(loader.batch(0, step)) for step in range(4, len(loader))] for loader in loaders] == [
        plain(list(loader)) for loader in again
    ]


def test_between_two_epochs_the_world_size_may_change():
    """The next epoch is split anew, and is the epoch that a single process would get."""
    loader = Loader(arrays(), 2, shuffle=5, shard=(1, 2))
    list(loader)
    state = loader.state_dict()
    more = [Loader(arrays(), 2, shuffle=5, shard=(rank, 5)) for rank in range(5)]
    alone = Loader(arrays(), 2, shuffle=5)
    for each in [*more, alone]:
        each.load_state_dict(state)

    assert plain(list(alone)) == in_turns([plain(list(each)) for each in more])
    assert plain([alone.batch(1, step) for step in range(5)]) == in_turns(
        [[plain(each.batch(1, 0))] for each in more],
    )


def test_within_an_epoch_it_may_not():
    """The state says how many there were, how many there are, and when it can change."""
    loader = Loader(arrays(), 2, shard=(0, 2))
    next(iter(loader))
    state = loader.state_dict()

    with pytest.raises(ValueError, match=r"a world size of 2, but here it is 3; .* between two epochs only"):
        Loader(arrays(), 2, shard=(0, 3)).load_state_dict(state)
    with pytest.raises(ValueError, match="an epoch with a world size of 2, but here it is 1"):
        Loader(arrays(), 2).load_state_dict(state)


def test_a_batch_of_a_rank_is_its_own():
    """`batch(epoch, step)` counts the steps of the rank."""
    assert [2, 3] == Loader(arrays(), 2, shard=(1, 2)).batch(0, 0)[0].tolist()
