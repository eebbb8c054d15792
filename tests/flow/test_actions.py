"""Actions for each item: what a function is given, who runs it, where results go, what becomes of errors."""

import asyncio
import os
import threading

import numpy as np
import pytest

from batchup.flow import (
    B,
    Batch,
    Dataset,
    F,
    P,
    R,
    action,
    any_action_failed,
    apply_parallel,
    close_workers,
    inbatch_parallel,
)

pytestmark = pytest.mark.timeout(60)
TARGETS = ["for", "threads", "mpc", "async"]
X = np.arange(10.0)


class Points(Batch):
    components = "x", "y"

    @apply_parallel(src="x")
    def shift(self, x, by):
        return x + by

    @apply_parallel(src="x", dst="y")
    def noisy(self, x, rng):
        return x + rng.normal()

    @apply_parallel(src="x", dst="y")
    def noisy_by_self(self, x):
        return self.random.normal()

    @inbatch_parallel(init="indices", post="keep")
    def squares(self, number, shift=0):
        return number**2 + shift

    def keep(self, results):
        self.y = np.array(results)
        return self


def points(ids=4):
    return Points(ids, preloaded=(X, X * 10))


# ---- apply_parallel


@pytest.mark.parametrize("target", ["f", "t", "m", "a", *TARGETS])
def test_targets(target):
    """Whoever runs it, the result is the same."""
    assert [10, 11, 12, 13] == points().shift(10, target=target).x.tolist()


def test_an_unknown_target():
    """Is refused by name."""
    with pytest.raises(ValueError, match="target should be for, threads, mpc or async"):
        points().shift(1, target="gpu")


def test_the_function_stays_there():
    """As ``_name_``, in the class and in classes made from it, and by its own name in tracebacks."""

    class More(Points):
        def shifted(self, x):
            return self._shift_(x, 5)

    assert 6 == More(1).shifted(1)
    assert "shift" == Points._shift_.__name__


@pytest.mark.parametrize("target", ["for", "mpc"])
def test_static_functions_and_lambdas(target):
    """A function of one argument will do, in processes too."""

    class Doubles(Batch):
        components = ("x",)
        apply_defaults = dict(Batch.apply_defaults, src="x")

        @apply_parallel
        @staticmethod
        def double(x):
            return 2 * x

    batch = Doubles(3, preloaded=(X,))

    assert [0, 2, 4] == batch.double(target=target).x.tolist()
    assert [1, 3, 5] == batch.apply_parallel(lambda x: x + 1, target=target).x.tolist()


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
    """Call, decorator, class; whoever gives src only writes back there, so that no default is overwritten."""

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
    """A function gets src and dst if its signature has them behind the item, whatever it calls the item."""
    assert given == points(1).apply_parallel(fn, src="x", dst="y").y[0]


@pytest.mark.parametrize("p", [[0.5, 0.5, 0.5], [True, False], 1.5])
def test_p_is_a_probability_or_says_for_each_item(p):
    """Probabilities of items are no such thing, and would always be true."""
    with pytest.raises(ValueError, match="p should be a probability from 0 to 1, or true or false for each of 4 items"):
        points().apply_parallel(abs, src="x", p=p)


def test_a_misspelt_argument_raises():
    """It goes to the function, which does not take it."""
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'bye'"):
        points().shift(bye=1)
    with pytest.raises(TypeError, match="did you mean 'src'"):
        apply_parallel(scr="x")


def test_sources():
    """A component, a tuple of them as one argument, a list one by one, data as they are, the batch's only data."""
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
    """Each is refused with what should be."""
    with pytest.raises((ValueError, AttributeError), match=why):
        points().apply_parallel(lambda x: x, **options)


def test_an_empty_component_is_not_a_source():
    """The error says to load it."""
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
    """From src, an attribute, a container, or from what a function gives that is offered the arguments."""
    found = points(3).apply_parallel(lambda x, by: x, init, src="x", dst="z", by=2)

    assert expected == found.z.tolist()


def test_elements_of_a_component_are_one_argument():
    """Though they be lists."""
    batch = Points(2, preloaded=([[1, 2], [3, 4]], X))

    assert [3, 7] == batch.apply_parallel(sum, src="x", dst="y").y.tolist()


def test_a_post_function():
    """A callable or the name of a method; it is offered results, src, dst and the call's arguments."""
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
    """A probability of any type of number, or a ready mask; other items stay as they are."""
    batch = Points(40, preloaded=(np.zeros(40), np.zeros(40))).shift(1, p=p)

    assert applied == batch.x.sum()


@pytest.mark.parametrize("p", [1.5, -0.1, [True], "half"])
def test_what_is_no_probability(p):
    """Is refused, rather than taken for never."""
    with pytest.raises(ValueError, match="p should be a probability"):
        points().shift(1, p=p)


def test_masks_follow_images():
    """Of a list of sources, each item has the same chance and the same random numbers in all."""
    batch = Points(50, preloaded=(np.zeros(50), np.zeros(50)))
    batch.random_seed = 5

    batch.apply_parallel(lambda x, rng: x + rng.normal(), src=["x", "y"], p=0.5)

    assert batch.x.tolist() == batch.y.tolist()
    assert 0 < np.count_nonzero(batch.x) < 50
    assert len(set(batch.x)) > 10


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["noisy", "noisy_by_self"])
def test_random_numbers_do_not_depend_on_the_target(name, target):
    """Each item has its own, by the keyword ``rng`` or by ``self.random``."""
    batch, expected = points(), points()
    batch.random_seed = expected.random_seed = 7

    found = getattr(batch, name)(target=target).y

    assert getattr(expected, name)(target="for").y.tolist() == found.tolist()
    assert 4 == len(set(found - X[:4]))


def test_random_numbers_of_coroutines():
    """Each has those of its item, after it has waited too; they are those that a function would have."""

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep")
        async def draw_late(self, number):
            await asyncio.sleep(0)
            return self.random.normal()

        @inbatch_parallel(init="indices", post="keep")
        def draw(self, number):
            return self.random.normal()

    late, expected = Reads(4), Reads(4)
    late.random_seed = expected.random_seed = 3

    assert expected.draw().y.tolist() == late.draw_late().y.tolist()


def test_seeds_may_be_given():
    """One for each item; equal seeds draw the same."""
    found = points(3).apply_parallel(lambda x, rng: rng.random(), src="x", dst="z", rng_seeds=[1, 1, 2]).z

    assert found[0] == found[1] != found[2]
    assert np.random.default_rng(1).random() == found[0]
    with pytest.raises(ValueError, match="rng_seeds should be one for each of 3"):
        points(3).apply_parallel(lambda x, rng: x, src="x", rng_seeds=[1])


def test_rng_is_given_where_it_is_required():
    """To a function that takes any keyword, if ``requires_rng``; each call draws anew."""
    batch = points(2)

    batch.apply_parallel(lambda x, **given: given["rng"].random(), src="x", dst="p", requires_rng=True)
    batch.apply_parallel(lambda x, **given: given["rng"].random(), src="x", dst="q", requires_rng=True)

    assert 4 == len({*batch.p, *batch.q})


def test_values_per_item():
    """`P` has one for each item, by hand too; they may be inside a tuple."""
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
    """Of lists, tuples, dicts and slices, and among the arguments of functions: each item gets its own."""

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
    """A RuntimeError from the first item's exception, with its id; nothing is printed."""

    def invert(x):
        return 1 / x if x else [][1]

    with pytest.raises(
        RuntimeError, match=r"could not assemble the batch: item 'b' failed with IndexError.*1 more"
    ) as e:
        Batch(["a", "b", "c"], preloaded={"a": 1, "b": 0, "c": 0}).apply_parallel(invert, target=target)

    assert isinstance(e.value.__cause__, IndexError)
    assert ("", "") == capfd.readouterr()


def test_results_of_the_wrong_number():
    """For a tuple of destinations each result should have as many parts."""
    with pytest.raises(ValueError, match="should return 2 values, for x, y, not 3"):
        points().apply_parallel(lambda pair: (1, 2, 3), src=("x", "y"))


def test_an_item_function_may_use_parallel_actions_itself():
    """In the pool of its own target, it does not wait for itself."""

    class Nested(Points):
        @apply_parallel(src="x", target="threads", n_workers=1)
        def outer(self, x):
            return Points(3, preloaded=(X, X)).shift(x, target="threads", n_workers=1).x.sum()

    assert [3, 6] == Nested(2, preloaded=(X, X)).outer().x.tolist()


def test_workers_are_shared_and_end():
    """Two calls use the same threads; `close_workers` ends them, and they come again."""

    def name(x):
        return threading.current_thread().name

    def run():
        return set(points(8).apply_parallel(name, src="x", dst="z", target="threads", n_workers=2).z)

    assert run() | run() <= {"batchup-0", "batchup-1"}
    close_workers()
    assert not [thread for thread in threading.enumerate() if thread.name == "batchup-1"]
    assert run()


def test_processes_are_others():
    """``mpc`` is not this process; what is sent is small, whatever the dataset is."""
    dataset = Dataset(4, Points, preloaded=(X, X), unpicklable=threading.Lock())
    batch = dataset.create_batch([1, 2])

    assert os.getpid() not in batch.apply_parallel(lambda x: os.getpid(), src="x", dst="y", target="mpc").y
    assert [2, 3] == batch.shift(1, target="mpc").x.tolist()


# ---- inbatch_parallel


@pytest.mark.parametrize("target", TARGETS)
def test_a_method_for_each_element(target):
    """It gets an element of init and the arguments of the call."""
    assert [1, 2, 5, 10] == points().squares(shift=1, target=target).y.tolist()


def elements(init, given, **options):
    """What a method gets for each of the elements."""

    class Elements(Points):
        def give(self):
            return given

        @inbatch_parallel(init=init, post=lambda results: results, target="for", **options)
        def each(self, *args, **kwargs):
            return args, kwargs

    return Elements(len(given), preloaded=(X, given)).each("more", k=1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(1, 2)], [((1, 2, "more"), {"k": 1})]),
        ([[1, 2]], [((1, 2, "more"), {"k": 1})]),
        ([{"a": 1}], [(("more",), {"a": 1, "k": 1})]),
        ([((1,), {"a": 2})], [((1, "more"), {"a": 2, "k": 1})]),
        ([5], [((5, "more"), {"k": 1})]),
    ],
)
def test_elements_of_an_init_method(given, expected):
    """Lists and tuples are positional arguments, dicts named ones, pairs of both are both, all else is one argument."""
    assert expected == elements("give", given)


def test_elements_of_a_component_stay_whole():
    """A list in a component is one argument."""
    assert [(([1, 2], "more"), {"k": 1})] == elements("y", [[1, 2]])


def test_init_and_post_get_what_they_take():
    """Options of the decorator and arguments of the call, those that their signatures have."""
    seen = {}

    class Offered(Points):
        def some(self, number, scale):
            seen["init"] = number, scale
            return self.indices

        def done(self, results, number, *, scale, unit):
            seen["post"] = results, number, scale, unit
            return self

        @inbatch_parallel(init="some", post="done", target="for", unit="mm")
        def work(self, item, number, scale):
            return item * number * scale

    Offered(2).work(3, scale=5)

    assert {"init": (3, 5), "post": ([0, 15], 3, 5, "mm")} == seen


def test_arguments_that_a_method_does_not_accept_are_left_out_with_a_warning():
    """As the guide's ``_load_raw(src)`` needs it."""

    class Guide(Points):
        @inbatch_parallel(init="indices", post="keep")
        def work(self, item):
            return item

    with pytest.warns(RuntimeWarning, match=r"work\(\) does not accept 1 of its arguments"):
        assert [0, 1] == Guide(2).work("surplus").y.tolist()


def test_run_once():
    """The method is called once, with the arguments of the call; a coroutine is awaited."""

    class Once(Points):
        @inbatch_parallel(init="run_once", target="async")
        async def read(self, path, fmt="raw"):
            await asyncio.sleep(0)
            self.x = [path, fmt]

    assert ["/some/path", "raw"] == Once(2).read("/some/path").x


def test_without_a_post_function():
    """The batch is returned; or a RuntimeError is raised from the first exception, or the exception, if debug."""

    class Fails(Points):
        @inbatch_parallel(init="indices")
        def work(self, item, bad):
            if item == bad:
                raise OSError("no such file")

    batch = Fails(["a", "b"])

    assert batch is batch.work("z")
    with pytest.raises(RuntimeError, match="item 'b' failed with OSError"):
        batch.work("b")
    with pytest.raises(OSError, match="no such file"):
        batch.work("b", debug=True, target="for")


def test_a_post_function_sees_exceptions():
    """As values, in their places; `any_action_failed` and `get_errors` find them."""

    class Sees(Points):
        @inbatch_parallel(init="indices", post="look")
        def work(self, item):
            return 1 / int(item)

        def look(self, results):
            return any_action_failed(results), self.get_errors(results), results[1]

    failed, errors, second = Sees(2).work()

    assert (True, [ZeroDivisionError], 1.0) == (failed, [type(error) for error in errors], second)
    assert points().get_errors([1, 2]) is None


def test_coroutines_within_a_running_loop():
    """As in a notebook: they run in a thread, and the loop is no obstacle."""

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep", target="async")
        async def read(self, item):
            await asyncio.sleep(0)
            return item

    async def notebook():
        return Reads(3).read().y.tolist()

    assert [0, 1, 2] == asyncio.run(notebook())


def test_coroutines_wait_side_by_side():
    """All have begun before the first is done."""
    begun = []

    class Reads(Points):
        @inbatch_parallel(init="indices", post="keep", target="async")
        async def read(self, item):
            begun.append(item)
            while len(begun) < self.size:
                await asyncio.sleep(0)
            return item

    assert [0, 1, 2] == Reads(3).read().y.tolist()


def test_preloaded_data_are_there_for_all_threads():
    """They are taken before the threads begin, once."""

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


# ---- action


def test_an_action_by_hand_is_the_method():
    """Nothing is checked or changed."""

    class Plain(Batch):
        @action
        def anything(self, x):
            return x

        @action(use_lock=True)
        def locked(self, x):
            return x

    assert (5, 6) == (Plain(1).anything(5), Plain(1).locked(6))


def test_no_eval():
    """An argument that is named so arrives as the expression that it is."""

    class Keeps(Points):
        @action(no_eval="dst")
        def put(self, dst, value):
            dst.set(value, batch=self)
            return self

    batch = Dataset(4, Keeps, preloaded=(X, X)).p.put(dst=B.y, value=B.x * 2).next_batch(3)

    assert [0, 2, 4] == batch.y.tolist()
