"""Programs as users write them run as they stand, and print what they should."""

import re
from pathlib import Path

import pytest
from launcher import HEAVY, begun, installed

PROGRAMS = Path(__file__).parent / "programs"

# A pattern for all that each prints; what they assert on their way is in the programs.
OUTPUT = {
    "01_components.py": r"",
    "02_files.py": r"\['text 0', 'text 1'\]\n",
    "03_formats.py": r"id,x\n0,0\.0\n1,1\.0\n2,2\.0\n3,3\.0\n\n",
    "04_augmentation.py": r"",
    "05_templates.py": r"\(8, 1, 4, 4\) \{np\.int8\(0\), np\.int8\(1\)\}\n",
    "06_sklearn_model.py": r"accuracy (0\.9\d+|1\.0)\n",
    "07_prefetch.py": r"\d+\.\d\d s instead of 0\.50\n(.*\n)*.*\bread\b.*\n(.*\n)*",
    "08_merge.py": r"\[ 0  1  4  9 16 25 36\] \[49 64 81\]\n\[4 5\] \[4 5 6 7\] 3\n",
    "09_experiments.py": r"\[\[4\.0, 4\.0\], \[8\.0, 8\.0\], \[12\.0, 12\.0\]\]\n",
    "10_sampling.py": r"\(5, 4, 4\)\n",
    "11_training.py": r"48 True True\n\['roll #0', 'scale #1', 'train_model #2'\] 48 True\n",
    "12_cross_validation.py": r"14 8 126 8 366 8 \n\[\[0, 1, 4, 9\], \[16, 25, 36, 49\], \[64\]\]\n",
    "13_before_and_after.py": r"begin\n10 \['after'\] 5050\.0 100\n25 \{\(10,\)\} True\n",
}
NEEDS = {
    "03_formats.py": "pandas",
    "06_sklearn_model.py": "sklearn",
    "07_prefetch.py": "pandas",
    "11_training.py": "torch",
}


@pytest.mark.parametrize("name", sorted(OUTPUT))
def test_a_program_runs_as_it_stands(name, tmp_path):
    """From the command line, without a word on standard error, and it comes to its end."""
    if name in NEEDS and not installed(NEEDS[name]):
        pytest.skip(f"needs {NEEDS[name]}")

    program = begun(HEAVY if name in NEEDS else ["batchup.flow"], PROGRAMS / name, folder=tmp_path)
    out, err = program.communicate(timeout=100)
    said = "".join(each for each in re.split(r"[\r\n]", err) if "%|" not in each)  # but for a progress bar

    assert (0, "") == (program.returncode, said)
    assert re.fullmatch(OUTPUT[name], re.sub(r"np\.float64\(([^)]*)\)", r"\1", out))


def test_every_program_is_run():
    """None lies in the folder unnoticed."""
    assert sorted(OUTPUT) == sorted(path.name for path in PROGRAMS.glob("[0-9]*.py"))
