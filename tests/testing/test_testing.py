"""The package imports what it needs on use, and says what is missing."""

import subprocess
import sys
import textwrap

import pytest
from launcher import HEAVY, begun

pytestmark = pytest.mark.timeout(120)


def run(code):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)


def test_a_missing_package_is_named_with_the_extra_that_has_it():
    """Asking for a contract or a strategy says what to install; `check_determinism` is there without it."""
    packages = ["hypothesis", "pytest", "psutil"]
    done = run(
        f"""
        import sys
        for missing in {packages}:
            sys.modules[missing] = None
            from batchup.testing import check_determinism
            try:
                from batchup.testing import SamplerContract
            except ModuleNotFoundError as error:
                print(error)
            del sys.modules[missing]
        """
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert [
        f"batchup.testing.SamplerContract needs {missing}, which is not installed: pip install 'batchup[test]'"
        for missing in packages
    ] == done.stdout.splitlines()


@pytest.mark.slow  # it imports PyTorch and others
def test_nothing_else_imports_it(tmp_path):
    """The rest of batchup neither imports batchup.testing nor what it needs."""
    code = textwrap.dedent(
        """
        import importlib, pathlib, sys
        import batchup
        root = pathlib.Path(batchup.__file__).parent
        for path in root.rglob("*.py"):
            parts = path.relative_to(root.parent).with_suffix("").parts
            if "testing" not in parts and parts[-1] != "__main__":
                try:
                    importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
                except ImportError:
                    pass  # for a package that is not installed
        print(sorted({name.split(".")[0] for name in sys.modules} & {"hypothesis", "pytest"}), end=" ")
        print([name for name in sys.modules if name.startswith("batchup.testing")])
        """
    )

    program = begun(HEAVY, code, folder=tmp_path)
    stdout, stderr = program.communicate(timeout=60)

    assert ("[] []\n", 0) == (stdout, program.returncode), stderr
