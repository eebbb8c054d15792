"""The last batches of a loader as a figure."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from batchup import ArrayDataSource, Loader
from batchup.work_pool import WorkerThreadPool

pytestmark = pytest.mark.timeout(120)


def arrays(n=20):
    return ArrayDataSource([np.arange(n)])


def crop(x):
    return (x[:1],)


@pytest.fixture(scope="module", params=["serial", "threads", "processes"])
def any_pool(request):
    if request.param == "threads":
        with WorkerThreadPool(2) as pool:
            yield pool
    else:
        yield None if request.param == "serial" else request.getfixturevalue("two_processes")


def test_a_picture_is_a_png(tmp_path, any_pool):
    """Where it was asked for."""
    pytest.importorskip("matplotlib")
    loader = Loader(arrays().map(crop), 2, pool=any_pool)
    list(loader)
    loader.plot(tmp_path / "timeline.png")

    assert b"\x89PNG" == (tmp_path / "timeline.png").read_bytes()[:4]


def test_a_picture_has_the_loop_and_every_worker(any_pool):
    """One row each, below it how many batches were ready; the stages are in its legend."""
    pytest.importorskip("matplotlib")
    loader = Loader(arrays().map(crop), 2, pool=any_pool)
    list(loader)
    lanes, buffer = loader.plot().axes
    workers = len({span.worker for span in loader._run.trace.last})

    assert ["loop", *(f"worker {i}" for i in range(workers))] == [label.get_text() for label in lanes.get_yticklabels()]
    assert ["waiting", "the fetch of ArrayDataSource", "crop"] == [
        text.get_text() for text in lanes.get_legend().get_texts()
    ]
    (line,) = buffer.lines
    assert 0 == line.get_ydata()[-1]
    assert 2 * 10 == len(line.get_ydata())
    assert min(line.get_ydata()) >= 0


def test_a_picture_of_nothing_is_empty():
    """Before the first batch."""
    pytest.importorskip("matplotlib")

    assert 2 == len(Loader(arrays(), 2).plot().axes)


def test_a_picture_without_matplotlib_names_it(monkeypatch):
    """What is missing, and how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ModuleNotFoundError, match=r"plot\(\) needs matplotlib, .* pip install matplotlib") as caught:
        Loader(arrays(), 2).plot()
    assert "matplotlib" == caught.value.name
