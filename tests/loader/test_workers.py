"""What makes the batches of a loader, and who ends it."""

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.errors import PoolClosedError
from batchup.loader.workers import LoaderWorkers
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

pytestmark = pytest.mark.timeout(60)

SOURCE = ArrayDataSource([np.arange(6)])


def workers(pool=None, n=None, source=SOURCE, depth=None):
    return LoaderWorkers(source, None, False, pool, n, None, depth, None)


def items():
    """The batches of an epoch, as the plan of a loader has them."""
    return Loader(SOURCE, 2)._plan.items(7, 0)


def batches(results):
    return [batch[0].tolist() for batch, *_ in results]


@pytest.mark.parametrize("pool", [None, 2, "threads", "processes", "auto"])
def test_results_come_in_order_from_any_of_them(pool):
    """Wherever the batches are made."""
    made = workers(pool, 2 if isinstance(pool, str) else None)
    try:
        assert [[0, 1], [2, 3], [4, 5]] == batches(made.results(items(), 7))
        assert [[0, 1], [2, 3], [4, 5]] == batches(made.results(items(), 7))
    finally:
        made.close()


@pytest.mark.parametrize("kind", [WorkerThreadPool, WorkerProcessPool])
def test_a_pool_of_the_user_stays_open(kind):
    """What the workers made themselves is closed with them."""
    with kind(1) as pool:
        theirs = workers(pool)
        theirs.close()

        assert [[0, 1], [2, 3], [4, 5]] == batches(theirs.results(items(), 7))

    own = workers("threads", 1)
    own.close()

    with pytest.raises(PoolClosedError):
        batches(own.results(items(), 7))


def test_as_many_batches_are_in_flight_as_depth_says():
    """When the loop has taken some, no more than `depth` others were begun."""
    begun = []

    def noted(x):
        begun.append(x.tolist())
        return (x,)

    made = workers(2, source=SOURCE.map(noted), depth=1)
    ahead = [len(begun) - taken for taken, _ in enumerate(made.results(items(), 7), 1)]
    made.close()

    assert 3 == len(ahead)
    assert max(ahead) <= 1


@pytest.mark.parametrize(("pool", "draws"), [(None, False), (2, False), ("processes", True), ("auto", True)])
def test_only_workers_with_generators_of_their_own_draw_from_them(pool, draws):
    """Then the run needs a seed for them, and so does a fetch that the loop itself makes in their place."""
    mapped = SOURCE.map(lambda x: (x + np.random.rand(),))
    made = workers(pool, 1 if pool == "processes" else None, mapped)
    try:
        assert draws == made.draws
        assert (made.job(7).seed is not None) == draws
    finally:
        made.close()
