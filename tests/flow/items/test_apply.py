"""`apply_parallel`: arguments, sources, destinations, probabilities and errors."""

import numpy as np
import pytest
from flow_batches import Points, X, points

from batchup.flow import (
    Batch,
    Dataset,
    F,
    P,
    R,
    apply_parallel,
    inbatch_parallel,
)

pytestmark = pytest.mark.timeout(60)

TARGETS = ["for", "threads", "mpc", "async"]


@pytest.mark.parametrize(
    ("call", "decorator", "default", "expected"),
    [
        ({}, {}, {"src": "x"}, ("x", "x")),
        ({}, {"src": "y"}, {"src": "x", "dst": "x"}, ("y", "y")),
        ({"src": "y"}, {"src": "x", "dst": "x"}, {}, ("y", "y")),
        ({"dst": "z"}, {"src": "x"}, {}, ("x", "z")),
        ({"src": "y", "dst": "z"}, {}, {"src": "x", "dst": "x"}, ("y", "z")),
        ({"src": "y"}, {}, {"src": "x", "dst": "x"}, ("y", "y")),
    ],
)
def test_nearest_says_where_from_and_where_to(call, decorator, default, expected):
    """Options come from the call, the decorator, then the class; with src only, results go to src."""

    class Layers(Batch):
        components = "x", "y"
        apply_defaults = dict(Batch.apply_defaults, **default)

        @apply_parallel(**decorator)
        def ends(self, x, src, dst):
            return src, dst

    batch = Layers(2, preloaded=(X, X)).ends(**call)

    assert expected == tuple(getattr(batch, expected[1])[0])
    unchanged = {"x", "y"} - {expected[1]}
    assert all(X[:2].tolist() == list(getattr(batch, name)) for name in unchanged)


@pytest.mark.parametrize(
    ("fn", "given"),
    [
        (lambda x: (), ()),
        (lambda x, src: src, "x"),
        (lambda x, dst, src: (src, dst), ("x", "y")),
        (lambda x, **kwargs: sorted(kwargs), ["dst", "src"]),
        (lambda src: "the item", "the item"),
        (lambda dst, **kwargs: kwargs, {"src": "x"}),
    ],
)
def test_services_are_offered_not_pushed(fn, given):
    """A function gets src and dst if its signature has them after the item."""
    assert given == points(1).apply_parallel(fn, src="x", dst="y").y[0]


@pytest.mark.parametrize("p", [[0.5, 0.5, 0.5], [True, False], 1.5])
def test_p_is_a_probability_or_says_for_each_item(p):
    """A list of probabilities is an error."""
    with pytest.raises(ValueError, match="p should be a probability from 0 to 1, or true or false for each of 4 items"):
        points().apply_parallel(abs, src="x", p=p)


def test_a_misspelt_argument_raises():
    """A misspelled argument is passed to the function, which raises."""
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'bye'"):
        points().shift(bye=1)
    with pytest.raises(TypeError, match="did you mean 'src'"):
        apply_parallel(scr="x")


def test_sources():
    """A source is a component, a tuple, a list, a container, or the data of a batch without components."""
    assert [0, 11, 22] == points(3).apply_parallel(sum, src=("x", "y"), dst="z").z.tolist()
    both = points(2).apply_parallel(lambda x: x + 1, src=["x", "y"], dst=["y", "z"])
    assert ([1, 2], [2, 3]) == (both.y.tolist(), both.z.tolist())
    swapped = points(2).apply_parallel(lambda pair: pair[::-1], src=("x", "y"), dst=("x", "y"))
    assert [0, 10] == swapped.x.tolist()
    assert [7, 8] == points(2).apply_parallel(lambda v: v, src=np.array([7, 8]), dst="x").x.tolist()
    assert [5, 7] == Batch(2, preloaded=[4, 6]).apply_parallel(lambda v: v + 1).data.tolist()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "src should name the component to apply the function to: one of x, y"),
        ({"src": ["x", "y"], "dst": "x"}, "dst should be a list of as many"),
        ({"src": ["x", "y"], "dst": ["x"]}, "dst should be a list of as many"),
        ({"src": np.arange(4)}, "dst should name the component"),
        ({"src": "x", "dst": 5}, "dst should be the name"),
        ({"src": "z"}, "no component or attribute 'z'"),
    ],
)
def test_sources_and_destinations_that_make_no_sense(options, why):
    """Each is an error that says what it should be."""
    with pytest.raises((ValueError, AttributeError), match=why):
        points().apply_parallel(lambda x: x, **options)


def test_an_empty_component_is_not_a_source():
    """An empty component is an error that says to load data."""
    with pytest.raises(ValueError, match="x should have data"):
        Points(2).shift(1)


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("data", [0, 1, 2]),
        ("indices", [0, 1, 2]),
        ("y", [0, 10, 20]),
        (np.array([5, 6, 7]), [5, 6, 7]),
        ([1, 2, 3], [1, 2, 3]),
        (lambda: [9, 8, 7], [9, 8, 7]),
        (lambda src, by, **kwargs: [by] * 3, [2, 2, 2]),
    ],
)
def test_where_items_come_from(init, expected):
    """Items come from src, an attribute, a container or a function, which gets the arguments it accepts."""
    found = points(3).apply_parallel(lambda x, by: x, init, src="x", dst="z", by=2)

    assert expected == found.z.tolist()


def test_elements_of_a_component_are_one_argument():
    """Items that are lists are single arguments."""
    batch = Points(2, preloaded=([[1, 2], [3, 4]], X))

    assert [3, 7] == batch.apply_parallel(sum, src="x", dst="y").y.tolist()


def test_a_post_function():
    """`post` is a callable or a name; it gets the results and the arguments that it accepts."""
    seen = {}

    def post(results, src, dst, by):
        seen.update(results=results, src=src, dst=dst, by=by)
        return "whatever"

    assert "whatever" == points(2).apply_parallel(lambda x, by: x + by, post=post, src="x", by=1)
    assert {"results": [1, 2], "src": "x", "dst": "x", "by": 1} == seen
    assert [0, 1] == points(2).apply_parallel(lambda x: x, post="keep", src="x").y.tolist()


@pytest.mark.parametrize(
    ("p", "applied"),
    [(1, 40), (0, 0), (1.0, 40), (np.float32(1), 40), ([True, False] * 20, 20), (np.arange(40) < 10, 10), (None, 40)],
)
def test_whether_the_function_is_applied(p, applied):
    """`p` is a number or a mask; other items stay."""
    batch = Points(40, preloaded=(np.zeros(40), np.zeros(40))).shift(1, p=p)

    assert applied == batch.x.sum()


@pytest.mark.parametrize("p", [1.5, -0.1, [True], "half"])
def test_what_is_no_probability(p):
    """A wrong probability is an error, not "never"."""
    with pytest.raises(ValueError, match="p should be a probability"):
        points().shift(1, p=p)


def test_masks_follow_images():
    """With a list of sources, an item has the same `p` and random numbers in all of them."""
    batch = Points(50, preloaded=(np.zeros(50), np.zeros(50)))
    batch.random_seed = 5

    batch.apply_parallel(lambda x, rng: x + rng.normal(), src=["x", "y"], p=0.5)

    assert batch.x.tolist() == batch.y.tolist()
    assert 0 < np.count_nonzero(batch.x) < 50
    assert len(set(batch.x)) > 10


def test_values_per_item():
    """`P` has one value for each item, by hand too, also inside a tuple."""
    batch = points(3)

    assert [5, 7, 9] == batch.shift(P(np.array([5, 6, 7]))).x.tolist()
    assert 3 == len(set(batch.shift(by=P(R("normal"))).x))
    with pytest.raises(ValueError, match="a value for each of 3 items"):
        batch.shift(P([1, 2]))


@pytest.mark.parametrize(
    "argument",
    [
        (P([5, 6, 7]), 0),
        [P([5, 6, 7]), 0],
        [[0, (P([5, 6, 7]),)], P([1, 2, 3])],
        {"by": [P([5, 6, 7])]},
        slice(P([5, 6, 7]), 9),
        F(str)(P([5, 6, 7])),
        [P([5, 6, 7]) + P([0, 0, 0])],
        F(str.format)("{} {by[0]}", 0, by=[P([5, 6, 7])]),
    ],
    ids=str,
)
@pytest.mark.parametrize("by_hand", [True, False])
def test_values_per_item_may_be_inside(argument, by_hand):
    """Values per item may be inside lists, tuples, dicts, slices and calls."""

    def note(x, argument):
        return str(argument)

    if by_hand:
        batch = points(3).apply_parallel(note, src="x", dst="noted", argument=argument)
    else:
        pipeline = Dataset(3, Points, preloaded=([1, 2, 3], [4, 5, 6])).p
        batch = pipeline.apply_parallel(note, src="x", dst="noted", argument=argument).next_batch(3)

    assert 3 == len(set(batch.noted))
    for own, noted in zip("567", batch.noted, strict=True):
        assert set("567") & set(noted) == {own}


@pytest.mark.parametrize("target", TARGETS)
def test_an_error_names_its_item(target, capfd):
    """The first exception is the cause of a RuntimeError with the id of the item; nothing is printed."""

    def invert(x):
        return 1 / x if x else [][1]

    with pytest.raises(
        RuntimeError, match=r"could not assemble the batch: item 'b' failed with IndexError.*1 more"
    ) as e:
        Batch(["a", "b", "c"], preloaded={"a": 1, "b": 0, "c": 0}).apply_parallel(invert, target=target)

    assert isinstance(e.value.__cause__, IndexError)
    assert ("", "") == capfd.readouterr()


def test_results_of_the_wrong_number():
    """With a tuple of destinations, each result should have as many parts."""
    with pytest.raises(ValueError, match="should return 2 values, for x, y, not 3"):
        points().apply_parallel(lambda pair: (1, 2, 3), src=("x", "y"))


def test_preloaded_data_are_there_for_all_threads():
    """Preloaded data are taken once, before the threads start."""

    class Once:
        asked = 0

        def __getitem__(self, ids):
            self.asked += 1
            return ids * 1.0

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep")
        def read(self, item):
            return self[item].x

    source = Once()

    assert [0, 1, 2, 3] == Reads(4, preloaded=(source, X)).read().y.tolist()
    assert 1 == source.asked
