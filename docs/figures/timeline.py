"""Draw `Loader.plot` of a loop that waits for its batches, and of one that does not. To run it::

    python docs/figures/timeline.py            # draw what was measured: timeline.json
    python docs/figures/timeline.py --measure  # measure it anew, on a quiet machine

Two threads decode photos. The loop sleeps in place of a training step on a GPU: shorter than the batches take, or
longer.
"""

import io
import json
import sys
import time

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from style import beside, save

from batchup import ArrayDataSource, Loader
from batchup.engine.trace import Trace
from batchup.loader.picture import timeline

MEASURED = beside(__file__, ".json")
STEPS = {"slow": 0.005, "fast": 0.04}  # seconds of a training step
BATCHES = 24


class Photos:
    """One photo of scikit-learn, as if it were many JPEG files."""

    def __init__(self, n):
        file = io.BytesIO()
        Image.fromarray(load_sample_images().images[1]).save(file, "JPEG")
        self.jpeg, self.n = file.getvalue(), n

    def __len__(self):
        return self.n

    def __getitem__(self, indices):
        return np.stack([np.asarray(Image.open(io.BytesIO(self.jpeg))) for _ in indices])


def crop(photos, rng):
    top, left = rng.integers(0, 203), rng.integers(0, 416)
    return (photos[:, top : top + 224, left : left + 224].astype(np.float32) / 255,)


def measured(seconds):
    """What a loader has noted, for one epoch after the first."""
    source = ArrayDataSource([Photos(BATCHES * 8)]).random_map(crop)
    with Loader(source, 8, shuffle=7, pool=2) as loader:
        for _ in range(2):
            for _batch in loader:
                time.sleep(seconds)
        explained, trace = loader.explain(), loader._run.trace
    spans = [span for span in trace.last if span.epoch == 1]
    begin = min(span.marks[0] for span in spans)
    threads = sorted({span.worker for span in spans})

    def since(moment):
        return round(moment - begin, 5)

    rows = [
        [span.step, since(span.asked), since(span.got), threads.index(span.worker), [*map(since, span.marks[:3])]]
        for span in spans
    ]
    return {"explain": explained, "stages": list(trace.stages), "spans": rows}


def main():
    if "--measure" in sys.argv:
        found = {name: measured(seconds) for name, seconds in STEPS.items()}
        MEASURED.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    for name, each in json.loads(MEASURED.read_text(encoding="utf-8")).items():
        trace = Trace(each["stages"])
        for step, asked, got, worker, marks in each["spans"]:
            trace.add(0, step, asked, got, worker, marks)
        figure = timeline(trace)
        figure.set_size_inches(10, 2.6)
        print(f"{name}: {each['explain']}")
        save(figure, beside(__file__, f"_{name}.svg"))


if __name__ == "__main__":
    main()
