"""The example program of a pipeline does what it says."""

import re
from pathlib import Path

import pytest
from launcher import HEAVY, begun, installed

PROGRAM = Path(__file__).parent.parent.parent / "examples" / "pipeline_digits.py"


@pytest.mark.skipif(not installed("sklearn"), reason="needs scikit-learn")
def test_the_digits_are_learnt_alike_with_threads_and_with_processes(tmp_path):
    """Each way gives the same accuracy and the same guesses; the profile names the actions."""
    program = begun(HEAVY, PROGRAM, ["--epochs", "2"], folder=tmp_path)
    said, errors = program.communicate(timeout=100)

    assert 0 == program.returncode, errors
    accuracies = [float(found) for found in re.findall(r"accuracy ([\d.]+)% of 359", said)]
    assert 3 == len(accuracies)
    assert 1 == len(set(accuracies))
    assert accuracies[0] > 85
    assert "digit by digit: yes" in said
    assert {"load", "warp", "flatten"} <= set(re.findall(r"\w+", said.split("profile of the run")[1]))
