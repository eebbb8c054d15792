"""Executors, Dask and Ray by one name for each verb. What they do is tried in `test_executors`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import pytest

from batchup import ArrayDataSource, Loader
from batchup.engine import clusters
from batchup.errors import PoolClosedError

pytestmark = pytest.mark.timeout(60)


def test_an_executor_says_how_many_workers_it_has():
    """In one of several ways; else it is as many as there are cores."""
    with ThreadPoolExecutor(3) as executor:
        found = [
            clusters.cluster_of(each).workers()
            for each in (executor, SimpleNamespace(submit=max, num_workers=5), SimpleNamespace(submit=max))
        ]

    assert [3, 5, clusters.cores()] == found


class NoWorkers:
    """A Dask client before its workers have come."""

    __module__ = "distributed.client"
    status = "running"
    scheduler = SimpleNamespace(address="tcp://far:8786")

    def nthreads(self):
        return {}

    def get_executor(self, pure):
        return self

    def wait_for_workers(self, n, timeout):
        raise TimeoutError(timeout)


def test_a_dask_cluster_without_workers_is_refused():
    """After some time, with what to do."""
    with pytest.raises(TimeoutError, match=r"no worker after 30 s; start some, .*dask worker tcp://far:8786"):
        Loader(ArrayDataSource([range(4)]), 2, pool=_with_submit(NoWorkers()))


def test_a_dask_client_that_is_closed_takes_no_work():
    """Neither a new pool, nor one that was made before: it has no place for data either."""
    client = _with_submit(NoWorkers())
    client.nthreads = lambda: {"tcp://near:1": 1}
    cluster = clusters.cluster_of(client)
    client.status = "closed"
    calls = (lambda: clusters.cluster_of(client), lambda: cluster.submit(abs, 1), lambda: cluster.put(b""))

    for call in calls:
        with pytest.raises(PoolClosedError, match="the Dask client"):
            call()


@pytest.mark.parametrize(
    ("nthreads", "said"),
    [({}, r"^the Dask cluster has no worker any more to send the data to; start some, .*dask worker tcp://far:8786"),
     ({"tcp://near:1": 1}, "^No valid workers found$")],
)  # fmt: skip
def test_a_dask_cluster_that_has_lost_its_workers_says_so(nthreads, said):
    """Where data are to be sent; another reason for waiting in vain stays as it is."""
    client = _with_submit(NoWorkers())
    client.nthreads = lambda: {"tcp://near:1": 1}
    cluster = clusters.cluster_of(client)
    client.nthreads = lambda: nthreads

    def scatter(*_, **__):
        raise TimeoutError("No valid workers found")

    client.scatter = scatter
    with pytest.raises(TimeoutError, match=said):
        cluster.put(b"")


def _with_submit(client):
    client.submit = max
    return client


def test_a_class_is_no_executor():
    """It has to be made first."""
    with pytest.raises(TypeError, match=r"as ThreadPoolExecutor\(2\)"):
        clusters.cluster_of(ThreadPoolExecutor)


def test_ray_has_to_be_connected():
    """Before it is given; any other module is no executor."""
    ray = ModuleType("ray")
    ray.is_initialized = lambda: False
    with pytest.raises(RuntimeError, match=r"call ray.init\(\)"):
        Loader(ArrayDataSource([range(4)]), 2, pool=ray)
    with pytest.raises(TypeError, match="should have a method submit"):
        Loader(ArrayDataSource([range(4)]), 2, pool=ModuleType("other"))


@pytest.mark.parametrize(("module", "hosts"), [("numpy", []), ("not_there", ["here"])])
def test_a_module_that_workers_lack_is_found(monkeypatch, module, hosts):
    """By what they can call without anything of ours."""
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    with ThreadPoolExecutor(1) as executor:
        assert hosts == clusters.cluster_of(executor).hosts_that_lack(module)
