"""`inbatch_parallel`: init- and post-functions."""

import asyncio

import numpy as np
import pytest
from flow_batches import Points, X, points

from batchup.flow import (
    Batch,
    any_action_failed,
    inbatch_parallel,
)

pytestmark = pytest.mark.timeout(60)

TARGETS = ["for", "threads", "mpc", "async"]


class Squares(Points):
    @inbatch_parallel(init="indices", post="keep")
    def squares(self, number, shift=0):
        return number**2 + shift


@pytest.mark.parametrize("target", TARGETS)
def test_a_method_for_each_element(target):
    """The method gets an element of init and the arguments of the call."""
    assert [1, 2, 5, 10] == points(batch_class=Squares).squares(shift=1, target=target).y.tolist()


def elements(init, given, **options):
    """The arguments that a method gets for each element."""

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
    """Lists and tuples are positional, dicts are keywords, pairs are both, others are one argument."""
    assert expected == elements("give", given)


def test_elements_of_a_component_stay_whole():
    """A list in a component is one argument."""
    assert [(([1, 2], "more"), {"k": 1})] == elements("y", [[1, 2]])


def test_init_and_post_get_what_they_take():
    """Both get the options and arguments that their signatures have."""
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
    """Surplus positional arguments are left out with a warning."""

    class Guide(Points):
        @inbatch_parallel(init="indices", post="keep")
        def work(self, item):
            return item

    with pytest.warns(RuntimeWarning, match=r"work\(\) does not accept 1 of its arguments"):
        assert [0, 1] == Guide(2).work("surplus").y.tolist()


def test_run_once():
    """``run_once`` calls the method once; a coroutine is awaited."""

    class Once(Points):
        @inbatch_parallel(init="run_once", target="async")
        async def read(self, path, fmt="raw"):
            await asyncio.sleep(0)
            self.x = [path, fmt]

    assert ["/some/path", "raw"] == Once(2).read("/some/path").x


def test_without_a_post_function():
    """Without post the batch is returned, or a RuntimeError raised; with debug, the exception itself."""

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
    """`post` gets exceptions as values; `any_action_failed` and `get_errors` find them."""

    class Sees(Points):
        @inbatch_parallel(init="indices", post="look")
        def work(self, item):
            return 1 / int(item)

        def look(self, results):
            return any_action_failed(results), self.get_errors(results), results[1]

    failed, errors, second = Sees(2).work()

    assert (True, [ZeroDivisionError], 1.0) == (failed, [type(error) for error in errors], second)
    assert points().get_errors([1, 2]) is None


class Assembled(Batch):
    components = "x", "y"

    @inbatch_parallel(init="x", post="_assemble", src="x")
    def to_src(self, x):
        return x + 1

    @inbatch_parallel(init="x", post="_assemble", src="x", dst=["y"])
    def to_list(self, x):
        return x + 2

    @inbatch_parallel(init="x", post="_assemble", dst=["x", "z"])
    def to_both(self, x):
        return x, -x

    @inbatch_parallel(init="x", post="_assemble", dst_default="components")
    def to_components(self, x):
        return np.array([x, -x])

    @inbatch_parallel(init="x", post="_assemble", src_default="y")
    def to_default(self, x):
        return x * 3

    @inbatch_parallel(init="x", post="_assemble")
    def nowhere(self, x, by=0):
        return x


def test_results_are_assembled_in_dst_or_src():
    """Results go to `dst`, a name or several; without it to `src`, or to what `dst_default` and `src_default` name."""
    batch = Assembled(2, preloaded=([1, 2], [3, 4]))

    assert [2, 3] == batch.to_src().x.tolist()
    assert [4, 5] == batch.to_list().y.tolist()
    assert [-2, -3] == batch.to_both().z.tolist()
    assert [6, 9] == batch.to_default().y.tolist()
    pair = Assembled(2, preloaded=([1, 2], [3, 4])).to_components()
    assert ([1, 2], [-1, -2]) == (pair.x.tolist(), pair.y.tolist())


def test_results_need_a_place():
    """Without `dst` and `src` the action raises, and names a component."""
    batch = Assembled(2, preloaded=([1, 2], [3, 4]))

    with pytest.raises(TypeError, match="dst or src should name the components .* such as 'x'"):
        batch.nowhere(5)
    with pytest.raises(RuntimeError, match="could not assemble the batch: item 1 failed"):
        batch._assemble([0, ValueError("no such item")])


@pytest.mark.parametrize("target", ["gpu", None])
def test_an_unknown_target_is_refused_at_the_decorator(target):
    """It does not wait for the first batch."""
    with pytest.raises(ValueError, match="target should be for, threads, mpc or async"):
        inbatch_parallel(init="indices", target=target)
