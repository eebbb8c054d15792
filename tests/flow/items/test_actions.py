"""Actions: decorated methods, by hand and in pipelines."""

import pytest
from flow_batches import Points, X

from batchup.flow import (
    B,
    Batch,
    Dataset,
    action,
    apply_parallel,
)

pytestmark = pytest.mark.timeout(60)


def test_the_function_stays_there():
    """The function is kept as ``_name_``, in subclasses too, and has its own name in tracebacks."""

    class More(Points):
        def shifted(self, x):
            return self._shift_(x, 5)

    assert 6 == More(1).shifted(1)
    assert "shift" == Points._shift_.__name__


@pytest.mark.parametrize("target", ["for", "mpc"])
def test_static_functions_and_lambdas(target):
    """Static functions and lambdas of one argument work, in processes too."""

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


def test_an_action_by_hand_is_the_method():
    """An action called by hand is the plain method."""

    class Plain(Batch):
        @action
        def anything(self, x):
            return x

        @action(use_lock=True)
        def locked(self, x):
            return x

    assert (5, 6) == (Plain(1).anything(5), Plain(1).locked(6))


def test_no_eval():
    """Arguments in ``no_eval`` arrive as expressions."""

    class Keeps(Points):
        @action(no_eval="dst")
        def put(self, dst, value):
            dst.set(value, batch=self)
            return self

    batch = Dataset(4, Keeps, preloaded=(X, X)).p.put(dst=B.y, value=B.x * 2).next_batch(3)

    assert [0, 2, 4] == batch.y.tolist()
