"""Run the examples, and keep their pictures, their last lines and the time that they take. To run it::

    python docs/figures/gallery/run.py [example.py ...]

Run it before a release: it takes some minutes. `times.csv` has a line for each example: what it ended with, the seconds
of the processor (of all cores and processes together, as a busy machine changes these little), and the date. An example
whose libraries are missing keeps its line.
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
TIMES = HERE / "times.csv"
HEAD = ["example", "it ends with", "seconds of the processor", "date"]
WIDTH = 640
RESULT = re.compile("accuracy|equal|the same|precision|padding|loss")
LAUNCHER = {"ddp.py": ["-m", "torch.distributed.run", "--nproc_per_node=2"]}


def seconds_of_children():
    times = os.times()
    return times.children_user + times.children_system


def last_line(text):
    """The last line that is a result."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("saved ")]
    return next((line for line in lines[::-1] if RESULT.search(line)), lines[-1])


def kept(picture):
    """A small copy of a picture."""
    image = Image.open(picture).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    return image.quantize(64)


def run(example):
    """The line of one example; its picture is saved here."""
    begun = seconds_of_children()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *LAUNCHER.get(example.name, []), str(example)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=True)
        for picture in Path(folder).glob("*.png"):
            kept(picture).save(HERE / f"{example.stem}.png", optimize=True)
    spent = max(1, round(seconds_of_children() - begun))
    return [example.name, last_line(done.stdout), str(spent), time.strftime("%Y-%m-%d")]


def main():
    rows = {}
    if TIMES.exists():
        with TIMES.open(newline="", encoding="utf-8") as file:
            rows = {row[0]: row for row in list(csv.reader(file))[1:]}
    wanted = sys.argv[1:] or [path.name for path in sorted(EXAMPLES.glob("*.py"))]
    for name in wanted:
        try:
            rows[name] = run(EXAMPLES / name)
            print(*rows[name], sep=" | ", flush=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{name}: {error}\n{error.stderr}", file=sys.stderr, flush=True)
        with TIMES.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([HEAD, *(rows[each] for each in sorted(rows))])


if __name__ == "__main__":
    main()
