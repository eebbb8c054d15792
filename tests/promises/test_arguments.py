"""Arguments are refused at the call, with their name and their value."""

import json
import os

import pytest
from programs import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

REFUSED = [
    (call.replace("POOL", kind), error, *words)
    for kind in ["WorkerThreadPool", "WorkerProcessPool"]
    for call, error, *words in [
        ("POOL(0)", "ValueError", "processes", "0"),
        ("POOL(-1)", "ValueError", "processes", "-1"),
        ("POOL(True)", "TypeError", "processes", "True"),
        ("POOL(False)", "TypeError", "processes", "False"),
        ("POOL(np.True_)", "TypeError", "processes", "True"),
        ("POOL(1.5)", "TypeError", "processes", "1.5"),
        ("POOL('2')", "TypeError", "processes", "'2'"),
        ("POOL(None)", "TypeError", "processes", "None"),
        ("pools['POOL'].parallel_data_source(source, 0)", "ValueError", "batch_buffer_size", "0"),
        ("pools['POOL'].parallel_data_source(source, True)", "TypeError", "batch_buffer_size", "True"),
        ("pools['POOL'].parallel_data_source(source, 2.0)", "TypeError", "batch_buffer_size", "2.0"),
        ("pools['POOL'].parallel_data_source(source, None)", "TypeError", "batch_buffer_size", "None"),
        ("pools['POOL'].parallel_data_source(source, timeout=0)", "ValueError", "timeout", "0"),
        ("pools['POOL'].parallel_data_source(source, timeout=-1)", "ValueError", "timeout", "-1"),
        ("pools['POOL'].parallel_data_source(source, timeout=float('nan'))", "ValueError", "timeout", "nan"),
        ("pools['POOL'].parallel_data_source(source, timeout='3')", "TypeError", "timeout", "'3'"),
        ("pools['POOL'].parallel_data_source(source, timeout=True)", "TypeError", "timeout", "True"),
        ("pools['POOL'].parallel_data_source(iter([1]))", "TypeError", "IteratorDataSource"),
        ("pools['POOL'].parallel_data_source(7)", "TypeError", "ds", "data source", "int", "7"),
        ("par('POOL').batch_iterator(0)", "ValueError", "batch_size", "0"),
        ("par('POOL').batch_iterator(True)", "TypeError", "batch_size", "True"),
        ("par('POOL').batch_iterator(2.5)", "TypeError", "batch_size", "2.5"),
        ("par('POOL').batch_iterator('3')", "TypeError", "batch_size", "'3'"),
        ("par('POOL').batch_iterator(3, shuffle=-1)", "ValueError", "shuffle", "-1"),
        ("par('POOL').batch_iterator(3, shuffle='yes')", "TypeError", "shuffle", "'yes'"),
        ("par('POOL').batch_iterator(3, shuffle=1.5)", "TypeError", "shuffle", "1.5"),
        ("par('POOL').batch_iterator(3, shufle=1)", "TypeError", "shufle", "shuffle"),
        ("pools['POOL'].work_stream([], 0)", "ValueError", "task_buffer_size", "0"),
        ("pools['POOL'].work_stream([], True)", "TypeError", "task_buffer_size", "True"),
        ("pools['POOL'].work_stream([], '2')", "TypeError", "task_buffer_size", "'2'"),
        ("pools['POOL'].work_stream(3)", "TypeError", "int"),
        ("next(closed['POOL'].parallel_data_source(source).batch_iterator(5))", "PoolClosedError", "closed"),
        ("next(closed['POOL'].work_stream([(pow, (2, 3))]))", "PoolClosedError", "closed"),
    ]
] + [
    ("WorkerProcessPool(1, retries=-1)", "ValueError", "retries", "-1"),
    ("WorkerProcessPool(1, retries=True)", "TypeError", "retries", "True"),
    ("WorkerProcessPool(1, retries=1.0)", "TypeError", "retries", "1.0"),
    ("WorkerProcessPool(1, retries=None)", "TypeError", "retries", "None"),
]


def test_arguments_are_refused_at_the_call(tmp_path):
    """With an ordinary error, its name and its value; a bool is no integer; the pools go on."""
    ended = run(
        f"""
import json
source = ArrayDataSource([X])
kinds = [WorkerThreadPool, WorkerProcessPool]
pools, closed = ({{kind.__name__: kind(1) for kind in kinds}} for _ in range(2))
for pool in closed.values():
    pool.close()

def par(kind):
    return pools[kind].parallel_data_source(source)

for call in {[call for call, *_ in REFUSED]!r}:
    try:
        eval(call)
        error = None
    except Exception as raised:
        error = raised
    print(json.dumps([call, type(error).__name__, str(error)]))
for kind in pools:
    print(json.dumps(batches_of(par(kind)) == batches_of(source)))
""",
        tmp_path,
    )

    *said, threads, processes = map(json.loads, ended.stdout.splitlines())
    assert ("", 0, True, True) == (ended.stderr, ended.left, threads, processes)
    assert [[call, error] for call, error, *_ in REFUSED] == [[call, error] for call, error, _ in said]
    unsaid = [(call, text) for (call, _, *words), (*_, text) in zip(REFUSED, said, strict=True) if not has(text, words)]
    assert [] == unsaid


def has(text, words):
    return all(word in text for word in words)
