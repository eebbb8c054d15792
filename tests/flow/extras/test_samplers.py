"""Samplers of values: mixtures, arithmetic and bounds."""

import numpy as np
import pytest

from batchup.flow import ConstantSampler, HistoSampler, NumpySampler, Sampler


def test_a_mixture_has_each_as_often_as_its_weight_says():
    """A mixture draws its parts by their weights; a number may be a part."""
    mixture = 0.5 & ConstantSampler(0) | 0.3 & ConstantSampler(1) | 0.2 & ConstantSampler(2)

    shares = np.bincount(mixture.sample(20_000)[:, 0]) / 20_000

    assert np.allclose([0.5, 0.3, 0.2], shares, atol=0.02)


def test_a_mixture_without_weights():
    """Without weights, both parts are drawn equally often, in random order."""
    points = (NumpySampler("u", seed=1, low=0, high=1) | NumpySampler("u", seed=2, low=5, high=6)).sample(1000)[:, 0]

    assert 400 < (points < 2).sum() < 600
    assert (points[:500] < 2).any()
    assert (points[:500] > 2).any()


def test_the_seed_of_a_part_decides_about_the_mixture():
    """The seeds of the parts decide which part is drawn."""

    def which(seed):
        return ((NumpySampler("u", seed=seed) | NumpySampler("u", seed=2) + 5).sample(50) > 2).tolist()

    assert which(1) == which(1)
    assert which(1) != which(3)


def test_arithmetic():
    """Arithmetic works between samplers, and with numbers on either side."""
    two, three = ConstantSampler(2), ConstantSampler(3.0)

    found = [s.sample(1)[0, 0] for s in (two + 1, 1 + two, 5 - two, two * three, 3 / two, two**3, 7 // two, 7 % three)]

    assert [3, 3, 3, 6, 1.5, 8, 3, 1] == found


def test_bounds():
    """Bounds hold for each coordinate, or for an expression of the point."""
    points = NumpySampler("n", seed=1, dim=2).truncate(high=[1, 0], low=-1).sample(200)
    rings = NumpySampler("n", seed=1, dim=2).truncate(low=1, high=2, expr=lambda p: np.hypot(*p.T)).sample(200)

    assert ((points <= [1, 0]) & (points >= -1)).all()
    assert (np.hypot(*rings.T) >= 1).all()
    assert (np.hypot(*rings.T) <= 2).all()


def test_bounds_that_nothing_meets():
    """Bounds without points are an error, unless ``sample_anyways`` is set."""
    nowhere = NumpySampler("u", seed=1, low=0, high=1)

    with pytest.raises(ValueError, match="10 of 10 points are missing within the bounds after 5 draws"):
        nowhere.truncate(low=2, max_iters=5).sample(10)
    assert (10, 1) == nowhere.truncate(low=2, max_iters=5, sample_anyways=True).sample(10).shape


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: NumpySampler("nrmal"), "'nrmal' should be a distribution"),
        (lambda: NumpySampler("n").sample(-1), "size should be"),
        (lambda: HistoSampler(), "one of histo and edges"),
        (lambda: HistoSampler((np.zeros(3), [[0, 1]])), "should have shape"),
        (lambda: -1 & ConstantSampler(1), "a weight should be"),
        (lambda: 0 & ConstantSampler(1) | 0 & ConstantSampler(2), "more than 0"),
        (lambda: ConstantSampler(1).truncate(prob=0), "prob should be"),
    ],
)
def test_what_makes_no_sampler(make, why):
    """Wrong arguments are errors that say what they should be."""
    with pytest.raises(ValueError, match=why):
        make()


def test_a_sampler_of_ones_own():
    """A sampler of the user needs one method, `draw`; without it there is an error."""

    class Dice(Sampler):
        def draw(self, size, rng):
            return rng.integers(1, 7, size)

    assert set(range(2, 13)) == set((Dice(seed=1) + Dice(seed=2)).sample(2000)[:, 0])
    with pytest.raises(NotImplementedError, match="should have a method draw"):
        Sampler().sample(1)


@pytest.mark.parametrize("scale", [np.array([1, 10]), [1, 10], np.float64(2)])
def test_arrays_and_samplers(scale):
    """An array is a point, on either side of an operator."""
    expected = NumpySampler("n", seed=1, dim=2).sample(5) * scale

    assert (expected == (scale * NumpySampler("n", seed=1, dim=2)).sample(5)).all()
    assert (expected == (NumpySampler("n", seed=1, dim=2) * scale).sample(5)).all()
