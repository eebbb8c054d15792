"""Plans: options, epochs, samplers, and the position of next_batch."""

import numpy as np
import pytest

from batchup import StandardSampler, SubsetSampler, WeightedSampler
from batchup.flow import Batch, Dataset
from batchup.flow.pipeline.plan import PipelinePlan


def ids(batches):
    return [batch.indices.tolist() for batch in batches]


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"batch_size": 0}, ValueError, "batch_size should"),
        ({"batch_size": 2, "n_iters": 1, "n_epochs": 1}, ValueError, "not both"),
        ({"batch_size": 9, "drop_last": True}, ValueError, "would leave no batch"),
        ({"batch_size": 2, "n_epochs": 0}, ValueError, "n_epochs should"),
        ({"batch_size": 2, "n_epochs": 1, "sampler": WeightedSampler([1, 1, 1, 1])}, ValueError, "is infinite"),
        ({"batch_size": 2, "sampler": StandardSampler(9)}, ValueError, "over 9 samples"),
        ({"batch_size": 2, "seed": -1}, ValueError, "seed should"),
        ({"batch_size": 2, "shuffle": "yes"}, TypeError, "shuffle should"),
    ],
)
def test_options_that_make_no_plan_are_refused(options, error, why):
    """Each error says what the option should be."""
    with pytest.raises(error, match=why):
        list(Dataset(4).gen_batch(**options))


def test_a_sampler_that_gives_no_batch_does_not_go_on_for_ever():
    """A sampler that gives no full batch is an error, not an endless search."""
    with pytest.raises(ValueError, match="would never end"):
        list(PipelinePlan(4, 3, sampler=StandardSampler(2), drop_last=True))


def test_a_sampler_draws_the_positions():
    """A weighted sampler gives only items with a weight, for the given number of batches."""
    sampler = WeightedSampler([0, 1, 0, 1])

    found = ids(Dataset(["a", "b", "c", "d"]).gen_batch(5, shuffle=1, n_iters=3, sampler=sampler))

    assert 3 == len(found)
    assert {"b", "d"} == {each for batch in found for each in batch}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_iters": 5}, 5),
        ({"n_epochs": 2}, 7),
        ({"n_epochs": 2, "drop_last": True}, 6),
        ({}, None),
        ({"n_epochs": 2, "sampler": StandardSampler(10)}, 8),
    ],
)
def test_a_plan_knows_how_many_batches_there_will_be(options, expected):
    """`total` is the number of batches."""
    plan = PipelinePlan(10, 3, **options)

    assert expected == plan.total
    assert expected is None or expected == len(list(plan))


def test_unseeded_runs_draw_anew_and_follow_numpys_seed():
    """Runs without a seed differ, and depend on ``numpy.random.seed``."""

    def roots():
        np.random.seed(3)
        return [PipelinePlan(4, 2).root().entropy for _ in range(2)]

    first = roots()

    assert first[0] != first[1]
    assert first == roots()


SAMPLER, SEED = StandardSampler(6), np.random.SeedSequence(3)


class Coloured(Batch):
    def __init__(self, index, *args, colour=None, seeds=None, **kwargs):
        super().__init__(index, *args, **kwargs)
        self.colour, self.seeds = colour, seeds


@pytest.mark.parametrize(
    "options",
    [
        lambda: {"colour": ["red", "blue"]},
        lambda: {"n_epochs": np.int64(3)},
        lambda: {"colour": np.arange(3)},
        lambda: {"sampler": SAMPLER, "shuffle": -1, "seed": SEED},
        lambda: {"colour": SAMPLER.num_batches},
        lambda: {"sampler": StandardSampler(6), "seed": np.random.SeedSequence(0), "shuffle": -1},
        lambda: {"colour": {"red": [np.arange(3), lambda: None]}},
        lambda: {"colour": [float("nan"), np.array([np.nan, 1.0]), "red", np.float32(2)]},
        lambda: {"colour": np.array([np.arange(2), np.arange(3)], dtype=object)},
    ],
)
@pytest.mark.parametrize("prefetch", [None, 0, 2])
def test_the_next_batch_goes_on_with_equal_options(options, prefetch):
    """`next_batch` goes on if the options are equal, even if they are other objects."""
    batches = Dataset(6, Coloured) if prefetch is None else Dataset(6, Coloured).p.do_nothing()
    ahead = {} if prefetch is None else {"prefetch": prefetch}

    found = [batches.next_batch(2, **options(), **ahead).indices.tolist() for _ in range(3)]

    assert [[0, 1], [2, 3], [4, 5]] == found
    batches.reset("iter")


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 0},
        {"sampler": StandardSampler(6)},
        {"colour": {"red": np.arange(3)}},
        {"colour": [0, 1]},
        {"colour": [np.zeros(3), np.zeros((3, 1))]},
    ],
)
def test_the_next_batch_starts_again_with_other_options(options):
    """Another seed, a sampler where there was none, and other arguments, with which batches were prefetched."""
    batches = Dataset(6, Coloured).p.do_nothing()

    found = [batches.next_batch(2, prefetch=2, **each).indices.tolist() for each in ({}, options, options, {})]

    assert [[0, 1], [0, 1], [2, 3], [0, 1]] == found
    batches.reset("iter")


@pytest.mark.parametrize("batches", [Dataset(6, Coloured), Dataset(6, Coloured).p.do_nothing()])
def test_each_next_batch_is_made_with_what_its_call_gives(batches):
    """Arguments of the constructor may change from batch to batch."""
    found = [batches.next_batch(2, colour=colour) for colour in ["red", "blue"]]

    assert [("red", [0, 1]), ("blue", [2, 3])] == [(batch.colour, batch.indices.tolist()) for batch in found]


@pytest.mark.parametrize("batches", [Dataset(4, Coloured), Dataset(4, Coloured).p])
@pytest.mark.parametrize("how", ["next_batch", "gen_batch"])
def test_misspelt_options_are_refused(batches, how):
    """Misspelled options and unknown keywords raise; parameters of the constructor do not."""

    def batch(**kwargs):
        found = getattr(batches, how)(2, **kwargs)
        return found if how == "next_batch" else next(found)

    with pytest.raises(TypeError, match="does not take 'shufle'; did you mean 'shuffle'"):
        batch(shufle=True)
    with pytest.raises(TypeError, match="does not take 'owner': the constructor of Coloured has none"):
        batch(owner="Bob")
    assert ("red", [1, 2]) == (lambda b: (b.colour, b.seeds))(batch(colour="red", seeds=[1, 2]))


def test_a_generator_that_is_made_anew_goes_on():
    """As in BatchFlow: all items are there once, not the first batch three times."""
    dataset = Dataset(6)

    found = [dataset.next_batch(2, shuffle=np.random.RandomState(1)).indices.tolist() for _ in range(3)]

    assert list(range(6)) == sorted(np.concatenate(found).tolist())


def test_another_sampler_starts_again():
    """Also one of the same class."""
    dataset, samplers = Dataset(6), [SubsetSampler(np.arange(3)), SubsetSampler(np.arange(3, 6))]

    found = [dataset.next_batch(1, sampler=each).indices.tolist() for each in samplers * 2]

    assert [[0], [3], [0], [3]] == found


def test_tables_are_compared():
    """Options may be tables, whose ``==`` has no truth value."""
    pandas = pytest.importorskip("pandas")
    batches = Dataset(6, Coloured).p.do_nothing()
    tables = [pandas.DataFrame({"red": [x, np.nan]}) for x in (1.0, 1.0, 2.0)]

    found = [batches.next_batch(2, prefetch=2, colour=each).indices.tolist() for each in tables]

    assert [[0, 1], [2, 3], [0, 1]] == found
    batches.reset("iter")
