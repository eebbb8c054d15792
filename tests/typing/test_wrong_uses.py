"""What is wrong is an error of mypy, so that the types in `users.py` are not right by being Any."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchup

pytest.importorskip("mypy")

ROOT = Path(batchup.__file__).parent.parent
WRONG = """\
import numpy as np
from batchup import ArrayDataSource, Loader, WorkerThreadPool, batch_map_concat, num_batches
from batchup.flow import Batch, Dataset, Pipeline
from batchup.sampling import StandardSampler, SubsetSampler

source = ArrayDataSource([np.zeros(8)])
Loader(source)  # call-arg
Loader(source, 4, last="cut")  # arg-type
Loader(source, 4, shufle=7)  # arg-type
Loader(source, 4, shuffle="yes")  # arg-type
Loader(source, "4")  # arg-type
Loader(source, 4).steps()  # call-arg
Loader(source, 4).state_dict().epoch  # attr-defined
Loader(source, 4).load_state_dict([0, 1])  # arg-type
next(Loader(source, 4))  # call-overload
source.batch_iterator("4")  # arg-type
source.batch_iterator(4, shuffle="yes")  # arg-type
source.map(3)  # arg-type
source.random_map(np.negative, seed="7")  # arg-type
source.map(np.negative).fetch(0)  # attr-defined
batch_map_concat(3, source.batch_iterator(4))  # arg-type
batch_map_concat(np.negative, source.batch_iterator(4))[0]  # index
WorkerThreadPool(2).parallel_data_source(source, batch_buffer_size="20")  # arg-type
StandardSampler([1, 2])  # arg-type
StandardSampler(8).in_order_indices_batch_iterator()  # call-arg
SubsetSampler()  # call-arg
num_batches(8)  # call-arg
Dataset(8, batch_class=3)  # arg-type
Dataset(8).split("most")  # arg-type
Dataset(8).gen_batch("4")  # arg-type
Dataset(8).p.run("4")  # arg-type
Dataset(8).p.gen_batch(4, shuffle="yes")  # arg-type
Dataset(8).p.update(5, 1)  # arg-type
Dataset(8).p.init_model("m", "resnet")  # arg-type
Pipeline() << 5  # operator
Pipeline().rebatch("4")  # arg-type
Batch(3).load(src=np.zeros(3), dst=0)  # arg-type
Batch(3).apply_parallel("negative")  # arg-type
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_wrong_use_is_an_error(tmp_path: Path) -> None:
    """Each line with a code at its end has this error, and no other line has one."""
    program = tmp_path / "wrong.py"
    program.write_text(WRONG)

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--hide-error-context", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
        check=False,
    )

    expected = [(number, line.partition("  # ")[2]) for number, line in enumerate(WRONG.splitlines(), 1) if "#" in line]
    found = re.findall(r"wrong\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert expected == [(int(number), code) for number, code in found], done.stdout + done.stderr
