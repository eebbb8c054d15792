"""Mixtures of sources: the contract, exact shares, shuffled cycles, and where an epoch ends."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchup import ArrayDataSource, ConcatDataSource, Loader
from batchup.sampling import MixtureSampler, mixtures
from batchup.testing import SamplerContract, batch_sizes, rngs


class TestMixture(SamplerContract):
    n_samples = 9

    def make(self):
        return MixtureSampler([6, 0, 3], weights=[0.5, 0, 0.5], stop="all")

    def one_go(self):
        return [*range(6), *range(6, 9), *range(6, 9)]


class TestBySizes(SamplerContract):
    n_samples = 7

    def make(self):
        return MixtureSampler([5, 2])


def epoch(sampler, rng, batch_size=7):
    return np.concatenate([*sampler.shuffled_indices_batch_iterator(batch_size, rng), np.empty(0, int)]).tolist()


@given(
    st.lists(st.tuples(st.integers(1, 30), st.floats(0.01, 1)), min_size=1, max_size=4),
    st.sampled_from(["first", "all"]) | st.integers(1, 100),
    batch_sizes(12),
    rngs(),
)
def test_shares_are_exact_and_samples_come_in_cycles(sources, stop, batch_size, fresh):
    """Each source has its share of the epoch; each of its samples comes once before any comes again."""
    sizes, weights = map(list, zip(*sources, strict=True))
    sampler = MixtureSampler(sizes, weights, stop=stop)
    found = epoch(sampler, fresh(), batch_size)
    starts = np.cumsum([0, *sizes])
    of = [[i - first for i in found if first <= i < last] for first, last in itertools.pairwise(starts.tolist())]
    total = sampler.num_indices_generated()

    assert total == len(found)
    for size, weight, own in zip(sizes, weights, of, strict=True):
        assert abs(len(own) - total * weight / sum(weights)) < 1 + 1e-6
        for first in range(0, len(own), size):
            cycle = own[first : first + size]
            assert len(set(cycle)) == len(cycle)
    rounds = [len(own) / size for own, size in zip(of, sizes, strict=True)]
    if stop == "first":
        assert max(rounds) <= 1
        assert any(len(own) + 1 > size - total / len(found or [0]) for own, size in zip(of, sizes, strict=True))
    if stop == "all":
        assert min(rounds) >= 1


def test_any_place_of_a_long_epoch_is_found(monkeypatch):
    """What comes before a place is not drawn; shares are exact there, too."""
    sampler = MixtureSampler([10**5, 10**4], weights=[0.8, 0.2])
    every = epoch(sampler, np.random.default_rng(3), 1000)
    drawn = []
    draws = mixtures.Cycles.draws
    monkeypatch.setattr(mixtures.Cycles, "draws", lambda *args: drawn.append(args) or draws(*args))
    rest = np.concatenate(list(sampler.batches_from(45, 1000, np.random.default_rng(3)))).tolist()

    assert (50_000, 10_000) == (len(every), sum(i >= 10**5 for i in every))
    assert every[45_000:] == rest
    assert len(drawn) <= 4


def test_billions_of_samples_begin_at_once():
    """The order of an epoch is drawn piece by piece."""
    sampler = MixtureSampler([10**12, 10**11], alpha=0.5)
    batches = sampler.batches_from(10**6, 1000, np.random.default_rng(0))
    shares = [(batch >= 10**12).mean() for batch in itertools.islice(batches, 16)]

    assert abs(np.mean(shares) - sampler.weights[1]) < 0.02


def test_sources_are_drawn_in_random_order():
    """The first sample of an epoch is of a source with the probability of its weight (within four deviations)."""
    sampler = MixtureSampler([40, 40], weights=[0.25, 0.75])
    first = [next(sampler.shuffled_indices_batch_iterator(1, np.random.default_rng(i)))[0] for i in range(1000)]

    assert abs(sum(i >= 40 for i in first) - 750) < 4 * (1000 * 0.25 * 0.75) ** 0.5


@pytest.mark.slow
def test_halves_of_a_long_epoch_vary(monkeypatch):
    """How many samples of each source come early is random, as in a shuffle of the whole epoch."""
    monkeypatch.setattr(mixtures, "PIECE", 8)
    sampler = MixtureSampler([50, 50], weights=[0.5, 0.5])
    early = [sum(i < 50 for i in epoch(sampler, np.random.default_rng(seed))[:50]) for seed in range(300)]

    assert abs(np.mean(early) - 25) < 0.6
    assert 0.8 < np.std(early) / (50 * 0.25 * 50 / 99) ** 0.5 < 1.2


@pytest.mark.parametrize(("alpha", "shares"), [(1, [0.9, 0.1]), (0, [0.5, 0.5]), (0.5, [0.75, 0.25])])
def test_alpha_makes_weights_from_sizes(alpha, shares):
    """1 is by size, 0 is equally often, and 0.5 is in between."""
    assert np.allclose(shares, MixtureSampler([900, 100], alpha=alpha).weights)


def test_a_mixture_is_the_same_with_any_pool_and_after_a_resume(pool):
    """Batches of a run, and of a run resumed at any step, on ranks and without."""
    ds = ConcatDataSource([[np.arange(8)], [np.arange(100, 105)]], weights=[1, 2], stop="all")
    for shard in (None, (0, 2), (1, 2)):
        every = [x.tolist() for (x,) in Loader(ds, 4, shuffle=7, shard=shard)]
        loader, again = (Loader(ds, 4, shuffle=7, shard=shard, pool=pool) for _ in range(2))

        assert len(every) == len(loader)
        assert every == [x.tolist() for (x,) in loader]
        for step in range(len(every)):
            again.load_state_dict({**loader.state_dict(), "epoch": 0, "step": step})
            assert every[step:] == [x.tolist() for (x,) in again]


def test_ranks_together_have_the_epoch():
    """The batches of all ranks are the batches of one."""
    ds = ConcatDataSource([[np.arange(8)], [np.arange(100, 105)]], weights=[1, 2], stop="all")
    whole = [x.tolist() for (x,) in Loader(ds, 4, shuffle=7)]
    ranks = [[x.tolist() for (x,) in Loader(ds, 4, shuffle=7, shard=(r, 2), remainder="uneven")] for r in range(2)]

    assert whole == [ranks[i % 2][i // 2] for i in range(len(whole))]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MixtureSampler([3, 2], [1]), "one weight per source: 1 weights, 2 sources"),
        (lambda: MixtureSampler([3, 2], [1, -1]), "weights should be 0 or more; index 1"),
        (lambda: MixtureSampler([3, 2], [0, 0]), "weights should not all be 0"),
        (lambda: MixtureSampler([3, 0], [1, 1]), "source 1 should have samples, as it has a weight"),
        (lambda: MixtureSampler([3, 2], [1, 1], alpha=1), "alpha should be left out when there are weights"),
        (lambda: MixtureSampler([3, 2], alpha=np.nan), "alpha should be a finite number, not nan"),
        (lambda: MixtureSampler([3, 2], stop="last"), 'stop should be "first", "all" or a number of samples'),
        (lambda: MixtureSampler([3, 2], stop=0), 'stop should be "first", "all" or a number of samples'),
        (lambda: ArrayDataSource([range(4)], sampler=MixtureSampler([3, 2])), "sum to 5, but the data has 4"),
        (lambda: ConcatDataSource([[range(3)]], weights=[1], repeats=2), "repeats should be left out"),
        (lambda: ConcatDataSource([[range(3)]], indices=[0], weights=[1]), "indices should be left out"),
        (lambda: ConcatDataSource([[range(3)]], alpha=1, sampler=MixtureSampler([3])), "sampler should be left out"),
        (lambda: ConcatDataSource([[range(3)]], stop="all"), "stop should be left out without weights"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    """Errors say which source, and what to change."""
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def test_a_mixture_needs_a_shuffle():
    """Its draws have no order."""
    with pytest.raises(NotImplementedError, match="has no order: give shuffle"):
        ConcatDataSource([[range(3)]], weights=[1]).batch_iterator(2)


def test_repr_has_the_shares():
    """And where an epoch ends."""
    assert "MixtureSampler([3, 1], weights=[0.75, 0.25], stop='all')" == repr(MixtureSampler([3, 1], stop="all"))


def test_weights_that_lie_too_far_apart():
    """An epoch until the rarest source has ended would never end; a power of the sizes may be any."""
    with pytest.raises(ValueError, match="weights should not lie so far apart"):
        MixtureSampler([5, 5], weights=[1e-300, 1], stop="all")
    with pytest.raises(ValueError, match="alpha should be a finite number, not 'a'"):
        MixtureSampler([5, 5], alpha="a")

    assert [0.0, 1.0] == MixtureSampler([5, 10**6], alpha=1000).weights.tolist()
