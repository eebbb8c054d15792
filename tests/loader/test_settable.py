"""Weights and batch sizes that are set while a run goes on: from the next epoch, on any pool and rank, in the state."""

import itertools
import json

import numpy as np
import pytest

from batchup import (
    ArrayDataSource,
    ChoiceDataSource,
    ClassCountSampler,
    CompositeDataSource,
    ConcatDataSource,
    Loader,
    WeightedSampler,
    WeightedSubsetSampler,
)
from batchup.interop.prefetch import Prefetched

EVEN, FIRST, LAST = np.ones(6), [1, 1, 1, 0, 0, 0], np.array([0, 0, 0, 1.0, 1, 2])


def weighted():
    return ArrayDataSource([np.arange(6)], sampler=WeightedSampler(EVEN, num_samples=24))


def with_noise(x, rng):
    return x, rng.random(len(x))


def lists(batches):
    return [[part.tolist() for part in batch] for batch in batches]


def firsts(batches):
    return [x.tolist() for x, *_ in batches]


def seen(batches):
    return {int(i) for x, *_ in batches for i in x}


def steps_with_changes(loader):
    """Four epochs of a run; weights and batch sizes are set in the midst of epochs and between them. Each batch comes
    with the state after it, and with the weights that have to be set to load it."""
    told = []
    for epoch in range(4):
        for step, batch in enumerate(loader):
            if (epoch, step) == (0, 1):
                loader.set_weights(FIRST)
                told.append(FIRST)
            if (epoch, step) == (2, 0):
                loader.set_weights(LAST)
                loader.set_batch_size(8)
                told.append(LAST)
            yield [part.tolist() for part in batch], loader.state_dict(), told[-2:]
        if epoch == 0:
            loader.set_batch_size(3)


@pytest.mark.parametrize("shard", [None, (1, 2)])
def test_changes_hold_from_the_next_epoch_on(shard):
    """Never within one; `len`, `batch_size` and the batches agree."""
    loader = Loader(weighted(), 4, shuffle=7, shard=shard)
    world = shard[1] if shard else 1
    sizes, samples = [], []
    for epoch in range(4):
        batches = []
        for step, batch in enumerate(loader):
            batches.append(batch)
            assert (24 // loader.batch_size // world, len(batch[0])) == (len(loader), loader.batch_size)
            if (epoch, step) == (1, 0):
                loader.set_batch_size(8)
                loader.set_weights(FIRST)
        sizes.append(len(batches[0][0]))
        samples.append(seen(batches))
        if epoch == 2:
            loader.set_batch_size(None)
            loader.set_weights(LAST)

    assert [4, 4, 8, 4] == sizes
    assert samples[2] <= {0, 1, 2}
    assert samples[3] <= {3, 4, 5}
    assert {0, 5} <= samples[0] | samples[1]


@pytest.mark.parametrize("shard", [None, (0, 2), (1, 2)])
def test_a_run_with_changes_resumes_at_every_step_on_every_pool(shard, pool):
    """With the weights that were saved beside the state, set before it is loaded. Batch sizes are in the state."""
    ds = weighted().random_map(with_noise)
    run = list(steps_with_changes(Loader(ds, 4, shuffle=7, shard=shard)))
    batches = [batch for batch, *_ in run]

    assert batches == [batch for batch, *_ in steps_with_changes(Loader(ds, 4, shuffle=7, shard=shard, pool=pool))]
    for i, (_, state, told) in enumerate(run):
        again = Loader(ds, 4, shuffle=7, shard=shard, pool=pool)
        for weights in told:
            again.set_weights(weights)
        again.load_state_dict(json.loads(json.dumps(state)))
        rest = lists(again)
        epoch_ends = next((j for j in range(i + 1, len(run)) if run[j][1]["epoch"] > state["epoch"]), len(run))

        assert batches[i + 1 : epoch_ends] == rest
        if state["epoch"] == 2:
            assert batches[epoch_ends:] == lists(again)


def test_ranks_together_have_the_epoch_after_a_change():
    """Where all are told the same, at whatever step each is."""
    whole = Loader(weighted(), 4, shuffle=7)
    ranks = [Loader(weighted(), 4, shuffle=7, shard=(rank, 2), remainder="uneven") for rank in range(2)]
    for steps, loader in enumerate([whole, *ranks]):
        for step, _ in enumerate(loader):
            if step == steps:
                loader.set_batch_size(5)
                loader.set_weights(FIRST)
    every, parts = firsts(whole), [firsts(loader) for loader in ranks]

    assert every == [parts[i % 2][i // 2] for i in range(len(every))]
    assert {5, 4} == set(map(len, every))


@pytest.mark.parametrize(
    ("source", "weights", "expected"),
    [
        (weighted().map(lambda x: (x,)).random_map(with_noise), FIRST, {0, 1, 2}),
        (ArrayDataSource([np.arange(6)], sampler=WeightedSampler(EVEN, 3, False)), FIRST, {0, 1, 2}),
        (ArrayDataSource([np.arange(6)], sampler=WeightedSubsetSampler([1, 1], [5, 2], 9)), [0, 1], {2}),
        (ArrayDataSource([np.arange(6)], indices=[4, 1], sampler=WeightedSampler([1, 1], 9)), [0, 1], {1}),
        (ConcatDataSource([[np.arange(3)], [np.arange(3, 6)]], weights=[1, 1], stop=9), [0, 1], {3, 4, 5}),
        (CompositeDataSource([weighted(), [np.arange(24)]]), FIRST, {0, 1, 2}),
        (
            ChoiceDataSource([weighted(), ArrayDataSource([np.arange(6, 30)])], stratified=False, weights=[1, 1]),
            [0, 1],
            set(range(6, 30)),
        ),
    ],
)
def test_weights_go_to_the_sampler_of_any_source(source, weights, expected):
    """Through `map` and `random_map`, to a subset, a mixture, one member of a composite, or the turns of a choice."""
    loader = Loader(source, 3, shuffle=7)
    loader.set_weights(weights)

    assert expected == seen(loader)


def test_a_function_of_the_epoch_decides(pool):
    """For weights and batch sizes; `steps` across epochs, `batch`, `len` and states agree."""
    loaders = [
        Loader(weighted(), lambda epoch: 4 + epoch, shuffle=7, weights=lambda e: FIRST if e % 2 else LAST, pool=each)
        for each in (None, pool)
    ]
    epochs = [firsts(loaders[0]) for _ in range(3)]

    assert [[4] * 6, [5] * 4 + [4], [6] * 4] == [list(map(len, batches)) for batches in epochs]
    assert [True, True, True] == [
        {i for b in batches for i in b} <= ({0, 1, 2} if e % 2 else {3, 4, 5}) for e, batches in enumerate(epochs)
    ]
    flat = list(itertools.chain(*epochs))
    assert flat == firsts(loaders[1].steps(len(flat)))
    assert epochs[1][2] == loaders[1].batch(1, 2)[0].tolist()
    for step in range(5):
        state = {**loaders[1].state_dict(), "epoch": 1, "step": step, "batch_size": 5, **weights_at(1)}
        loaders[0].load_state_dict(state)
        assert (5, epochs[1][step:]) == (loaders[0].batch_size, firsts(loaders[0]))


def weights_at(epoch):
    loader = Loader(weighted(), 4, shuffle=7, weights=lambda e: FIRST if (e + epoch) % 2 else LAST)
    return {"weights": loader.state_dict()["weights"]}


def test_a_loop_that_has_begun_keeps_its_weights():
    """Also before its first batch, which a pool may have fetched already."""
    with Loader(weighted(), 4, shuffle=7, pool=2) as loader:
        expected = [loader.batch(0, step)[0].tolist() for step in range(6)]
        batches = iter(loader)
        loader.set_weights(FIRST)

        assert expected == firsts(batches)
        assert seen(loader) <= {0, 1, 2}


def test_after_a_break_the_next_loop_has_the_change():
    """And `len` is that of this loop."""
    loader = Loader(weighted(), 4, shuffle=7)
    for _ in loader:
        break
    loader.set_batch_size(6)

    assert 4 == len(loader)
    assert [6] * 4 == [len(x) for (x,) in loader]


def test_a_loop_over_steps_is_not_changed():
    """It may be over several epochs, which a pool has begun; between two of them, weights may be set."""
    loader = Loader(weighted(), 4, shuffle=7)
    batches = loader.steps(8)
    next(batches)
    with pytest.raises(RuntimeError, match=r"set_weights should not be called in a loop over steps\(\)"):
        loader.set_weights(FIRST)
    del batches
    loader.set_weights(FIRST)
    rest = list(loader.steps(11))

    assert seen(rest[5:]) <= {0, 1, 2} < seen(rest[:5]) | {0, 1, 2}


def saved_with(weights):
    loader = Loader(weighted(), 4, shuffle=7)
    loader.set_weights(weights)
    return loader.state_dict()


def told(*weights, **kwargs):
    loader = Loader(weighted(), 4, shuffle=7, **kwargs)
    for each in weights:
        loader.set_weights(each)
    return loader


@pytest.mark.parametrize(
    ("loader", "state", "said"),
    [
        (told(), saved_with(FIRST), "the state has weights .* from set_weights, .* before load_state_dict"),
        (told(LAST), saved_with(FIRST), "the state has weights .* from set_weights"),
        (told(weights=lambda e: EVEN), saved_with(FIRST), "with set_weights, but this loader was made with weights as"),
        (told(), told(weights=lambda e: EVEN).state_dict(), "weights as a function of the epoch"),
        (told(weights=lambda e: FIRST), told(weights=lambda e: EVEN).state_dict(), "the state has weights"),
        (told(), {**told().state_dict(), "changes": {"weights": 3}}, "changes of the state should be"),
        (told(), {**told().state_dict(), "changes": {"batch_size": [0, 0]}}, "batch_size of the state should be an"),
    ],
)
def test_a_state_with_other_changes_is_refused(loader, state, said):
    """It says what to call; the loader stays as it was."""
    before = loader.state_dict()
    with pytest.raises(ValueError, match=said):
        loader.load_state_dict(state)

    assert before == loader.state_dict()


def test_weights_of_the_source_can_be_set_again():
    """None stands for them, also to load a state from before a change."""
    loader = Loader(weighted(), 4, shuffle=7)
    state, expected = loader.state_dict(), firsts(loader)
    loader.set_weights(FIRST)
    loader.set_weights(None)
    loader.load_state_dict(state)

    assert expected == firsts(loader)


def test_epochs_before_a_change_are_not_known():
    """Their weights are no longer held, so `batch` does not make them up."""
    loader = Loader(weighted(), 4, shuffle=7)
    for weights in (FIRST, LAST, FIRST):
        list(loader)
        loader.set_weights(weights)

    assert loader.batch(2, 0)[0].min() >= 3
    with pytest.raises(ValueError, match="the weights of epoch 1 is not known, as others were set since"):
        loader.batch(1, 0)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda: told().set_weights([1, 2]), ValueError, "2 weights, 6 samples"),
        (lambda: told().set_weights(-EVEN), ValueError, "weights should be 0 or more"),
        (lambda: told().set_weights(EVEN * np.nan), ValueError, "weights should be finite"),
        (lambda: told().set_weights(0 * EVEN), ValueError, "weights should not all be 0"),
        (lambda: told(weights=lambda e: EVEN).set_weights(EVEN), TypeError, "made with weights as a function"),
        (lambda: told(weights=EVEN), TypeError, "weights should be a function of the epoch, not ndarray"),
        (lambda: told(weights=lambda e: [1, 2]), ValueError, "2 weights, 6 samples"),
        (lambda: Loader([np.arange(3)], 2).set_weights([1, 2, 3]), TypeError, "a sampler with weights, but it has no"),
        (
            lambda: Loader(CompositeDataSource([weighted(), weighted()]), 2, shuffle=1).set_weights(EVEN),
            TypeError,
            "2 of its sources have weights",
        ),
        (lambda: Loader([np.arange(3)], lambda epoch: 0), ValueError, "batch_size should be an integer of at least 1"),
        (lambda: told().set_batch_size(0), ValueError, "batch_size should be an integer of at least 1"),
        (lambda: told().set_batch_size(2.0), TypeError, "batch_size should be an integer of at least 1"),
        (
            lambda: Loader(
                ArrayDataSource([np.arange(3)], sampler=ClassCountSampler([0, 0, 1], {0: 1, 1: 1})), 2
            ).set_batch_size(3),
            ValueError,
            "batch_size should be 2, the sum of the counts, not 3",
        ),
    ],
)
def test_what_cannot_be_set_is_refused(change, error, said):
    """At the call, not in the next epoch."""
    with pytest.raises(error, match=said):
        change()


def test_weights_that_are_set_are_copied():
    """Writing to the array afterwards changes nothing."""
    weights = np.array(FIRST, float)
    loader = told(weights)
    weights[:] = LAST

    assert seen(loader) <= {0, 1, 2}


@pytest.mark.slow  # PyTorch takes long to import
def test_a_loader_of_tensors_passes_changes_on():
    """`to_torch` has the same two methods."""
    pytest.importorskip("torch")
    loader = told().to_torch()
    loader.set_weights(FIRST)
    loader.set_batch_size(6)
    batches = list(loader)

    assert ([6] * 4, True) == ([len(x) for (x,) in batches], seen(batches) <= {0, 1, 2})


def test_batches_that_are_moved_ahead_do_not_take_the_change_early():
    """With `Prefetched`, which is ahead of the loop, batches and states are those of the loader."""

    def run(loader):
        for epoch in range(3):
            for step, (x,) in enumerate(loader):
                if (epoch, step) == (0, 4):
                    loader.set_weights(FIRST)
                    loader.set_batch_size(8)
                yield x.tolist(), loader.state_dict()

    with Prefetched(told(pool=2), lambda batch: batch, depth=3) as ahead:
        assert list(run(told())) == list(run(ahead))


def test_a_mixture_changes_with_the_epoch():
    """Its length follows from the weights of each epoch, and `len` with it."""
    ds = ConcatDataSource([[np.arange(12)], [np.arange(100, 104)]], alpha=1)
    loader = Loader(ds, 4, shuffle=7, weights=lambda epoch: [1, 1 + epoch])
    found = []
    for _ in range(3):
        said = len(loader)
        x = np.concatenate([x for (x,) in loader])
        found.append((said, int((x < 100).sum()), int((x >= 100).sum())))

    assert [(2, 4, 4), (2, 2, 4), (2, 1, 4)] == found
