"""Measure a pipeline of `batchup.flow` against the same functions in a loop, and against BatchFlow if it is installed.

    python benchmarks/flow.py
    python benchmarks/flow.py --against PATH    # beside another checkout of batchup

Targets: five trivial actions take at most 100 µs per batch more than five calls, and at most a third of the time of
BatchFlow; `apply_parallel` with target "for" takes at most 3 µs per item more than a list comprehension. Prefetching
behind a `call` takes at most 1.3 times as long as without the `call`.

With ``--against``, processes with this checkout and with the other one take turns: the machine may become slower or
faster while they run, and each pair of them is close in time. Nothing should be slower than in the other checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from timing import about, in_turn, median, per_item, table

import batchup.flow

X = np.ones((1_000_000, 32), "float32")
N_ITEMS = 256

# The targets.
MORE_A_BATCH = 100e-6  # seconds more than a loop
RATIO = 3  # time of BatchFlow / time of batchup
MORE_AN_ITEM = 3e-6  # seconds more than a list comprehension
BEHIND = 1.3  # time with a call or a variable in front / time without


def batch_class_of(flow: ModuleType) -> type:
    """A batch class with five trivial actions."""

    class Rows(flow.Batch):  # type: ignore[name-defined,misc]
        components = ("x",)

        @flow.action
        def first(self, by: float) -> Any:
            self.a = by
            return self

        @flow.action
        def second(self, by: float) -> Any:
            self.b = self.a + by
            return self

        @flow.action
        def third(self, by: float) -> Any:
            self.c = self.b + by
            return self

        @flow.action
        def fourth(self, by: float) -> Any:
            self.d = self.c + by
            return self

        @flow.action
        def fifth(self, by: float) -> Any:
            self.e = self.d + by
            return self

    return Rows


def pipeline_of(flow: ModuleType) -> Any:
    """Five steps over a million rows."""
    dataset = flow.Dataset(len(X), batch_class_of(flow), preloaded=(X,))
    return dataset.p.first(1).second(by=2).third(3).fourth(by=4).fifth(5)


def piped(pipeline: Any, batch_size: int) -> Iterator[Any]:
    for batch in pipeline.gen_batch(batch_size, shuffle=7, n_epochs=1):
        yield batch.x


class Plain:
    """The batch of the plain loop."""


def first(batch: Any, by: float) -> None:
    batch.a = by


def second(batch: Any, by: float) -> None:
    batch.b = batch.a + by


def third(batch: Any, by: float) -> None:
    batch.c = batch.b + by


def fourth(batch: Any, by: float) -> None:
    batch.d = batch.c + by


def fifth(batch: Any, by: float) -> None:
    batch.e = batch.d + by


def looped(batch_size: int) -> Iterator[Any]:
    """The same without a library: a permutation, `take` and five calls."""
    order = np.random.default_rng(7).permutation(len(X))
    for start in range(0, len(X), batch_size):
        batch: Any = Plain()
        batch.x = X.take(order[start : start + batch_size], 0)
        first(batch, 1)
        second(batch, by=2)
        third(batch, 3)
        fourth(batch, by=4)
        fifth(batch, 5)
        yield batch.x


def peers() -> dict[str, ModuleType]:
    """batchup.flow, and BatchFlow if it is installed."""
    found = {"batchup.flow": batchup.flow}
    if find_spec("batchflow"):
        found["BatchFlow"] = import_module("batchflow")
    else:
        print("BatchFlow is not installed: left out", file=sys.stderr)
    return found


def compare_batches(rounds: int) -> None:
    rows = []
    pipelines = {name: pipeline_of(flow) for name, flow in peers().items()}
    for batch_size in (256, 4096):
        runs: dict[str, Callable[[], float]] = {"loop": lambda n=batch_size: per_item(lambda: looped(n))}
        for name, pipeline in pipelines.items():
            runs[name] = lambda p=pipeline, n=batch_size: per_item(lambda: piped(p, n))
        found = in_turn(runs, rounds)
        for name in pipelines:
            more = median(b - a for a, b in zip(found["loop"], found[name], strict=True))
            ratio = median(b / a for a, b in zip(found["batchup.flow"], found[name], strict=True))
            ours = name == "batchup.flow"
            rows.append(
                [
                    str(batch_size),
                    name,
                    f"{1e6 * median(found['loop']):.0f}",
                    f"{1e6 * median(found[name]):.0f}",
                    f"{1e6 * more:+.0f}",
                    f"{ratio:.1f}",
                    "at most +100 µs" if ours else "at least 3 times",
                    "yes" if (more <= MORE_A_BATCH if ours else ratio >= RATIO) else "NO",
                ]
            )
    table(
        f"Five actions over 1,000,000 x 32 float32: microseconds per batch, medians of {rounds} epochs each, in turn",
        ["batch", "pipeline of", "loop", "pipeline", "more", "times batchup.flow", "target", "met"],
        rows,
    )


def seconds(run: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def increment(item: float) -> float:
    return item + 1.0


def runs_of_items(times: int = 100) -> dict[str, Callable[[], float]]:
    """Seconds for a cheap function of each item, in a list comprehension and in a batch."""

    class Items(batchup.flow.Batch):
        components = "x", "y"

    batch = Items(N_ITEMS, preloaded={"x": np.ones(N_ITEMS)})

    def comprehension() -> object:
        return np.array([increment(item) for item in batch.x])

    def applied() -> object:
        return batch.apply_parallel(increment, src="x", dst="y", target="for")

    return {"list": lambda: seconds(comprehension, times), "apply": lambda: seconds(applied, times)}


def compare_items(rounds: int) -> None:
    found = in_turn(runs_of_items(), rounds)
    more = median(b - a for a, b in zip(found["list"], found["apply"], strict=True))
    table(
        f"A cheap function over {N_ITEMS} items: microseconds per item, medians of {rounds} rounds of 100, in turn",
        ["list comprehension", "apply_parallel", "more", "target", "met"],
        [
            [f"{1e6 * each / N_ITEMS:.2f}" for each in (median(found["list"]), median(found["apply"]), more)]
            + [f"{1e6 * MORE_AN_ITEM:.2f}", "yes" if more / N_ITEMS <= MORE_AN_ITEM else "NO"]
        ],
    )


class Waiting(batchup.flow.Batch):
    """A batch with an action that waits, as for a disk."""

    components = ("x",)

    @batchup.flow.action
    def wait(self) -> Any:
        time.sleep(0.01)
        return self


def runs_behind() -> dict[str, Callable[[], float]]:
    """Seconds of a run that prefetches an action that waits, by what is in front of the action."""
    from batchup.flow import B, I, Pipeline, V

    dataset = batchup.flow.Dataset(400, Waiting, preloaded=(np.arange(400),))
    in_front = {
        "nothing": Pipeline(),
        "call": Pipeline().call(seen.append, I()),
        "V": Pipeline().update(B.n, V("n")),
        "update(V)": Pipeline().update(V("n"), V("n") + 1),
    }
    return {
        name: lambda front=front: seconds(
            lambda: ((Pipeline().init_variable("n", 0) + front).wait() << dataset).run(10, n_epochs=1, prefetch=4), 1
        )
        for name, front in in_front.items()
    }


def compare_prefetch(rounds: int) -> None:
    found = in_turn(runs_behind(), rounds)
    rows = []
    for name, times in found.items():
        ratio = median(b / a for a, b in zip(found["nothing"], times, strict=True))
        rows.append(
            [name, f"{1e3 * median(times):.0f}", f"{ratio:.2f}", f"{BEHIND}", "yes" if ratio <= BEHIND else "NO"]
        )
    table(
        f"40 batches that wait 10 ms each, prefetch=4: milliseconds, medians of {rounds} runs, in turn",
        ["in front of the action", "run", "times", "at most", "met"],
        rows,
    )


seen: list[int] = []


def gaps(batches: Iterable[object]) -> Iterator[float]:
    """Seconds between one batch and the next."""
    last = None
    for _ in batches:
        now = time.perf_counter()
        if last is not None:
            yield now - last
        last = now


def measure() -> dict[str, float]:
    """Seconds of each case in this process: of many short pieces the shortest, as the others had to wait as well."""
    from batchup.flow import B, V

    pipeline, apply = pipeline_of(batchup.flow), runs_of_items(1)["apply"]
    small = batchup.flow.Dataset(2000, Waiting, preloaded=(np.arange(2000),)).p.init_variable("n", 0)
    writing = small.update(V("n"), V("n") + B.x.sum()).call(increment, B.size, save_to=B.more)
    found = {f"five actions, {n} rows": min(gaps(piped(pipeline, n))) for n in (256, 4096)}
    found["V, B and a call, 10 rows"] = min(gaps(writing.gen_batch(10, n_epochs=5)))
    ahead = [per_item(lambda: writing.gen_batch(10, n_epochs=1, prefetch=4)) for _ in range(10)]
    found["the same, prefetch=4"] = min(ahead)
    found["next_batch, 10 rows"] = min(seconds(lambda: writing.next_batch(10), 1) for _ in range(500))
    found[f"apply_parallel, {N_ITEMS} items"] = min(apply() for _ in range(500))
    behind = in_turn(runs_behind(), 3)
    return found | {f"prefetch behind {name}": min(times) for name, times in behind.items()}


def measured_in(checkout: Path) -> dict[str, float]:
    """What `measure` finds in a process with the batchup of a checkout."""
    code = f"import sys; sys.path[:0] = {[str(checkout), str(Path(__file__).parent)]!r}; import json, flow"
    told = subprocess.run(
        [sys.executable, "-c", f"{code}; print(json.dumps(flow.measure()))"],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return found


def compare_checkouts(other: Path, rounds: int) -> None:
    sides = {"this": Path(__file__).parents[1], "other": other}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            found[name].append(measured_in(sides[name]))
    rows = []
    for case in found["this"][0]:
        this, that = ([each[case] for each in found[name]] for name in sides)
        ratios = [a / b for a, b in zip(this, that, strict=True)]
        times = [f"{1e6 * of(side):.0f}" for of in (min, median) for side in (this, that)]
        rows.append([case, *times, f"{min(this) / min(that):.2f}", f"{median(ratios):.2f}"])
    table(
        f"This checkout and {other}: microseconds, in {rounds} processes each, in turn",
        ["case", "minimum", "other", "median", "other", "ratio of minima", "median ratio"],
        rows,
    )


def main(rounds: int = 9) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout of batchup to compare with")
    parser.add_argument("--rounds", type=int, default=rounds)
    given = parser.parse_args()
    about()
    if given.against is not None:
        compare_checkouts(given.against, given.rounds)
        return
    compare_batches(given.rounds)
    compare_items(given.rounds)
    compare_prefetch(given.rounds)


if __name__ == "__main__":
    main()
