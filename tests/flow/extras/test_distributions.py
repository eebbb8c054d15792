"""Samplers of distributions."""

import numpy as np
import pytest

from batchup.flow import ConstantSampler, HistoSampler, NumpySampler, ScipySampler

SEEDED = {
    "numpy": lambda: NumpySampler("n", seed=1, loc=3, dim=2),
    "scipy": lambda: ScipySampler("n", seed=1, loc=3, dim=2),
    "sum": lambda: NumpySampler("n", seed=1, dim=2) + NumpySampler("u", seed=2) * 3,
    "beside": lambda: NumpySampler("n", seed=1) & NumpySampler("u", seed=2),
    "mixture": lambda: 0.3 & NumpySampler("n", seed=1, dim=2) | 0.7 & NumpySampler("u", seed=2, dim=2),
    "truncated": lambda: NumpySampler("n", seed=1, dim=2).truncate(high=1, low=-1),
    "of": lambda: NumpySampler("n", seed=1, dim=2).apply(np.abs),
    "histogram": lambda: HistoSampler(np.histogramdd(np.random.default_rng(0).normal(size=(50, 2))), seed=1),
    "constant": lambda: ConstantSampler([1, 2]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDED)
def test_points_are_of_their_shape_and_of_their_seed(kind):
    """Samplers with the same seed draw the same; the next draw of one differs."""
    if kind == "scipy":
        pytest.importorskip("scipy")
    first, again = SEEDED[kind](), SEEDED[kind]()

    points = first.sample(20)

    assert (20, 2) == points.shape
    assert points.tolist() == again.sample(20).tolist()
    assert kind == "constant" or points.tolist() != first.sample(20).tolist()
    assert (1, 2) == first.sample(1).shape


def test_coordinates_are_independent():
    """The coordinates of a seeded sampler differ."""
    points = NumpySampler("n", seed=1, dim=2).sample(50)

    assert not np.allclose(points[:, 0], points[:, 1])


def test_a_histogram_is_updated():
    """Draws after an update use the new counts."""
    sampler = HistoSampler(edges=[[0, 1, 2], [0, 1, 2]], seed=0)
    with pytest.raises(ValueError, match="should have points"):
        sampler.sample(1)

    sampler.update([[0.5, 1.5]])
    points = sampler.sample(100)

    assert (points[:, 0] < 1).all()
    assert (points[:, 1] >= 1).all()
    assert len(np.unique(points)) == 200
