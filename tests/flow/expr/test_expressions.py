"""Expressions: their values, and where values can be written."""

import collections
import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from batchup.flow import PP, B, Batch, C, D, Dataset, F, I, L, M, P, Pipeline, R, V, W
from batchup.flow.expr.expressions import assign, evaluate, has_expression


class Points(Batch):
    components = "x", "y"

    def double(self, n):
        return 2 * n


@pytest.fixture
def pipeline():
    return Pipeline(Dataset(4, Points, unit="mm"), {"size": 5, "net": {"depth": 3, "x": B.x}}).init_variable("v", [1])


@pytest.fixture
def batch(pipeline):
    batch = Points(3, dataset=pipeline.dataset, pipeline=pipeline, preloaded=([1, 2, 3], [4, 5, 6]))
    batch.iteration, batch.n_iters, batch.random_seed = 1, 4, 7
    return batch


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (lambda: B.size, 3),
        (lambda: B("size"), 3),
        (lambda: B.x[1], 2),
        (lambda: B.x[B.iteration], 2),
        (lambda: B.x[1:].sum(), 5),
        (lambda: B.double(4), 8),
        (lambda: B.double(n=B.size), 6),
        (lambda: (B.x + B.y).tolist(), [5, 7, 9]),
        (lambda: 10 - B.size, 7),
        (lambda: -B.size * 2 // 4, -2),
        (lambda: (B.x > 1).any() & True, True),
        (lambda: B.size == 3, True),
        (lambda: abs(2 - B.size) ** 3, 1),
        (lambda: B.size.str() + "!", "3!"),
        (lambda: B.size.format("n={:02d}"), "n=03"),
        (lambda: B().size, 3),
        (lambda: C("size"), 5),
        (lambda: C.size, 5),
        (lambda: C("net/depth"), 3),
        (lambda: C("net/width", default=7), 7),
        (lambda: C("net/x").tolist(), [1, 2, 3]),
        (lambda: C("a", pipeline=Pipeline(config={"a": 1})), 1),
        (lambda: D.unit, "mm"),
        (lambda: D().size, 4),
        (lambda: I("current"), 1),
        (lambda: I(), 1),
        (lambda: I("max"), 4),
        (lambda: I("r"), 0.25),
        (lambda: V("v"), [1]),
        (lambda: V.v[0], 1),
        (lambda: F(lambda: 5), 5),
        (lambda: F(divmod)(7, B.size), (2, 1)),
        (lambda: F(divmod)(7, B.size)[0] + 1, 3),
        (lambda: L([1j, 2j]).imag, [1.0, 2.0]),
        (lambda: L([[1, 2], [3, 4]])[1], [2, 4]),
        (lambda: L(["a", "b"]).upper().lower(), ["a", "b"]),
        (lambda: L("x").item(), [1, 2, 3]),
        (lambda: {"k": [B.size, (C.size, 1)]}, {"k": [3, (5, 1)]}),
        (lambda: P([7, 8, 9]), (7, 8, 9)),
        (lambda: P(B.x) * 10, (10, 20, 30)),
        (lambda: PP(F(lambda: 1)), (1, 1, 1)),
    ],
)
def test_the_value_of_an_expression(batch, expression, expected):
    """An expression is evaluated for a batch and a pipeline."""
    assert expected == evaluate(expression(), batch)


@pytest.mark.parametrize(
    ("expression", "error", "why"),
    [
        (C("net/width"), KeyError, "the config has no 'net/width'; it has size, net"),
        (D.colour, KeyError, "no attribute 'colour'"),
        (V("w"), KeyError, "there is no variable 'w'; there are 'v'"),
        (M("net"), KeyError, "there is no model 'net'"),
        (B.z, AttributeError, "its components are x, y"),
        (P(5), ValueError, "a value for each of 3 items"),
        (P([1, 2]), ValueError, "a value for each of 3 items"),
        (I("best"), ValueError, "'current', 'max' or 'ratio'"),
    ],
)
def test_what_is_not_there(batch, expression, error, why):
    """A missing name is an error that lists the known names."""
    with pytest.raises(error, match=why):
        expression.get(batch)


@pytest.mark.parametrize("expression", [B.x, V("v"), C("a"), D.unit, R("normal")])
def test_without_batch_or_pipeline(expression):
    """The error says whether the batch, the pipeline or the dataset is missing."""
    with pytest.raises(ValueError, match="there is none here"):
        expression.get()


def test_a_deep_copy_of_the_batch(batch):
    """``B(copy=True)`` is a copy with data of its own."""
    B(copy=True).get(batch).x[0] = 100

    assert 1 == batch.x[0]


@pytest.mark.parametrize(
    "draw",
    [
        R("uniform", 1, 2),
        R("randint", 1, 3),
        R("rand") + 1,
        R([1, 1.5]),
        R("choice", [1, 2], p=[0.5, 0.5]),
        R("uniform", 1, B.size),
    ],
)
def test_random_values(batch, draw):
    """`R` draws with any method of a generator, a legacy name or a choice; the seed is that of the batch."""
    values = [draw.get(batch) for _ in range(20)]
    batch.random_seed = 7

    assert values == [draw.get(batch) for _ in range(20)]
    assert all(1 <= value <= 3 for value in values)
    assert 1 < len(set(values))


def test_a_random_value_for_each_item(batch):
    """`P` of `R` draws one value for each item; arithmetic works inside."""
    assert [0, 1, 2] == sorted(R("permutation", 3).get(batch))
    assert [(5,)] * 3 == [value.shape for value in PP(R("permutation", 5)).get(batch)]
    assert 3 == len(set(P(R("normal") + R("normal")).get(batch)))
    assert [0, 10, 20] == [round(x) for x in P(R("normal", P([0, 10, 20]), 1e-9)).get(batch)]
    assert [(2,)] * 3 == [value.shape for value in P(R("normal", size=2)).get(batch)]


def test_a_seed_of_its_own(batch):
    """With a seed, `R` depends on the seed and the number of the batch only."""
    value = R("normal", seed=5).get(batch)
    batch.random_seed = 8

    assert value == R("normal", seed=5).get(batch)
    batch.iteration = 2
    assert value != R("normal", seed=5).get(batch)


def test_names_that_no_generator_has():
    """Unknown names of distributions raise when the expression is made."""
    with pytest.raises(ValueError, match="'unifrm' should be a method"):
        R("unifrm")


def test_an_expression_as_it_is(batch):
    """`W` passes the expression itself."""
    inner = B.x

    assert inner is W(inner).get(batch)


def test_containers_without_expressions_stay_the_same_objects(batch):
    """Containers without expressions are not copied; named tuples stay named tuples."""
    Pair = collections.namedtuple("Pair", "a b")
    lists, pair = [1, {"a": [2]}], Pair(B.size, 1)

    assert lists is evaluate(lists, batch)
    assert Pair(3, 1) == evaluate(pair, batch)
    assert has_expression(pair)
    assert not has_expression(lists)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("expression", [B.x[1], P(B.x) + 1, F(len)(B.x), L("x").item(), V("v", mode="a"), C("size")])
def test_expressions_are_copied_and_pickled(batch, clone, expression):
    """A copied or pickled expression has the same value."""
    assert str(expression.get(batch)) == str(clone(expression).get(batch))


def test_private_attributes_are_no_expressions():
    """Private attributes raise, so that copy, pickle and inspection end."""
    for thing in (B, B.x, L("x")):
        with pytest.raises(AttributeError, match="private"):
            thing._hidden  # noqa: B018


@pytest.mark.parametrize("misuse", [bool, iter, list])
def test_expressions_have_no_value_yet(misuse):
    """An expression has no truth value and no items before it is evaluated."""
    with pytest.raises(TypeError, match="before it is evaluated"):
        misuse(B.x)


@pytest.mark.parametrize(
    ("where", "value", "read"),
    [
        (B.x, [7, 8, 9], B.x[0]),
        (B.new, 7, B.new),
        (B("x"), [7, 8, 9], B.x[0]),
        (B.x[0], 7, B.x[0]),
        (V("fresh"), 7, V("fresh")),
        (D.level, 7, D.level),
        (V("v", mode="a"), 7, V("v")[-1]),
        (V("v", mode="e"), [0, 7], V("v")[-1]),
        (V("d", mode="u"), {"k": 7}, V("d")["k"]),
        (V("v")[0], 7, V("v")[0]),
        ([B.new, V("w")], (7, 8), B.new),
        ({"a": B.new}, {"a": 7}, B.new),
        (L("x"), [7, 8, 9], B.x[0]),
        (L(B.new), 7, B.new),
    ],
)
def test_where_values_can_be_put(batch, where, value, read):
    """Values are written to components, attributes, items and variables; lists to lists, dicts to dicts."""
    assign(where, value, batch)

    assert 7 == read.get(batch)


@pytest.mark.parametrize(
    ("where", "error"),
    [(each, TypeError) for each in (B.x + 1, 5, I("c"), R("normal"), F(len), M("m"), W(B.x), P(B.x), L([1, 2]), B())]
    + [([B.a], ValueError)],
)
def test_where_no_value_can_be_put(batch, where, error):
    """A sum, a number, an expression that names no place, and a wrong number of places are errors."""
    with pytest.raises(error):
        assign(where, [1, 2], batch)
    with pytest.raises(ValueError, match="mode should be"):
        V("x", mode="z")


def test_an_array_is_written_into(batch):
    """An array is filled in place."""
    out = np.zeros(3)
    assign(out, [1, 2, 3], batch)

    assert [1, 2, 3] == out.tolist()


@pytest.mark.parametrize("number", [np.arange(2), np.float64(3), np.int64(3)])
def test_arrays_and_expressions(number):
    """Arrays and expressions combine on either side; functions of NumPy raise."""
    batch = Batch(2)

    assert (number + batch.indices == (number + B.indices).get(batch)).all()
    assert (number - batch.indices == (number - B.indices).get(batch)).all()
    assert (batch.indices == number).tolist() == np.asarray((number == B.indices).get(batch)).tolist()
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.sin(B.indices)


def test_the_config_by_paths():
    """``C.model.lr`` and ``C("model/lr")`` are the same; a path is written to with `save_to`."""
    pipeline = Pipeline(config={"model/lr": 0.1, "model/depth": 2, "path": {"a": 1}})

    C("model/lr").set(0.2, pipeline=pipeline)
    C.new.set(5, pipeline=pipeline)

    assert (0.2, 2, 5) == tuple(each.get(pipeline=pipeline) for each in (C.model.lr, C("model/depth"), C("new")))
    assert [("a", 1)] == list(C.path.items().get(pipeline=pipeline))
    with pytest.raises(KeyError, match="the config has no 'model/rate'"):
        C.model.rate.get(pipeline=pipeline)


@pytest.mark.parametrize(
    ("where", "written"),
    [
        (L("things").level, lambda thing: thing.level),
        (L(B.things).level, lambda thing: thing.level),
        (L("things").found["k"], lambda thing: thing.found["k"]),
        (L(L("things").found)["k"], lambda thing: thing.found["k"]),
    ],
)
@pytest.mark.parametrize("step", ["update", "save_to", "call"])
def test_a_value_for_each_thing_in_a_list(where, written, step):
    """Each thing gets its own: its attribute, or the item of its attribute."""

    class Things(Batch):
        components = "things", "y"

    things = [SimpleNamespace(found={}) for _ in range(4)]
    pipeline = Dataset(4, Things, preloaded=(things, np.arange(4))).p
    steps = {
        "update": lambda: pipeline.update(where, B.y * 2),
        "save_to": lambda: pipeline.save_to(where, value=B.y * 2),
        "call": lambda: pipeline.call(np.multiply, B.y, 2, save_to=where),
    }
    steps[step]().next_batch(3)

    assert [0, 2, 4] == [written(thing) for thing in things[:3]]
    assert not things[3].found


@pytest.mark.parametrize(
    ("where", "read"),
    [
        (B("names", mode="a"), B.names),
        (D("names", mode="a"), D.names),
        (C("names", mode="a"), C.names),
        (V("names", mode="a"), V("names")),
    ],
)
def test_modes_of_all_places(where, read):
    """A component, an attribute of the dataset, a value of the config and a variable can all be appended to."""
    dataset = Dataset(4, names=[])
    pipeline = dataset.pipeline({"names": []}).init_variable("names", []).update(B.names, [])

    last = pipeline.update(where, B.size).next_batch(2)

    assert [2] == read.get(last, last.pipeline)


def test_a_value_is_set_by_hand(batch, pipeline):
    """`set` evaluates the value, and may have another mode."""
    V("n").set(B.size, batch=batch, pipeline=pipeline)
    B("names").set([], batch=batch)
    B("names").set(B.size, "a", batch)

    assert (3, [3]) == (pipeline.v("n"), batch.names)


def test_a_batch_that_has_itself_is_copied(batch):
    """`B(copy=True)` copies a batch whose attribute is the batch itself."""
    batch.me = batch
    twin = B(copy=True).get(batch)

    assert twin.me is twin
    assert twin is not batch


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "B('x')",
        "V('n')[0]",
        "C('model/lr')",
        "R('normal')",
        "P(R('uniform'))",
        "L(B('x'))",
        "B('x')[0].real",
        "B('x').sum(0, out=None)",
    ],
)
def test_an_expression_is_shown_as_it_is_written(text):
    """Errors name the expression as users write it."""
    assert text == repr(eval(text))
