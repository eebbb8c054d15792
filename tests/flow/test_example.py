"""The example program of a pipeline does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent.parent / "examples" / "pipeline_digits.py"


def test_the_digits_are_learnt_alike_with_threads_and_with_processes(tmp_path):
    """Each way gives the same accuracy and the same guesses; the profile names the actions."""
    pytest.importorskip("sklearn")

    command = [sys.executable, PROGRAM, "--epochs", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=True)

    accuracies = [float(found) for found in re.findall(r"accuracy ([\d.]+)% of 359", ended.stdout)]
    assert 3 == len(accuracies)
    assert 1 == len(set(accuracies))
    assert accuracies[0] > 85
    assert "digit by digit: yes" in ended.stdout
    assert {"load", "warp", "flatten"} <= set(re.findall(r"\w+", ended.stdout.split("profile of the run")[1]))
