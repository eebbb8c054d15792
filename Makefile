# make train     train a classifier on real digits, from a fresh clone
# make test      every test, docstring and documented example
# make test-fast the tests to run while editing: under a minute
# make test-strict  the fast tests, where warnings of any kind and overflows in NumPy are errors, in workers as well
# make test-portable  the laws and dying workers, with worker processes as on macOS and Windows
# make coverage  every test, with the lines that none reaches; worker processes are counted too
# make check     ruff, codespell, mypy --strict, the layers, the names and the types that users see
# make docs      the documentation, into docs/_build/html
# make figures   the pictures of the documentation anew; the same data gives the same files
# make bench     the benchmarks, as tables
# make dist      sdist and wheel, checked and tried in empty environments: with the oldest and the newest libraries, and
#                with each extra
# make clean     remove what the others made
#
# PYTHON=python3.12 chooses the interpreter; TEST_ARGS="-k guide -x" goes to pytest. PYTHON=python3.12 VENV=.venv-3.12
# keeps a second environment beside the first; OPTIONAL= leaves out all libraries but those that the tests themselves need.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
OPTIONAL ?= yes
MADE := $(VENV)/made-by-$(notdir $(PYTHON))

# pytest keeps the test modules that it has rewritten: without them it takes ten seconds longer to begin.
unexport PYTHONDONTWRITEBYTECODE
# One worker per core, up to four; those that are done take tests from the others.
PYTEST := $(PY) -m pytest -n logical --maxprocesses 4 --dist worksteal

.PHONY: help train test test-fast test-strict test-portable coverage check docs figures bench dist clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

train: $(VENV)/has-examples
	$(PY) examples/train_digits.py

test: $(VENV)/has-test
	$(PYTEST) --durations=15 $(TEST_ARGS)

test-fast: $(VENV)/has-test
	$(PYTEST) --durations=10 -m "not slow" --hypothesis-profile=fast $(TEST_ARGS)

test-strict: $(VENV)/has-test
	PYTHONDEVMODE=1 PYTHONWARNINGS=error NUMPY_ERRORS=raise $(PYTEST) -m "not slow" --hypothesis-profile=fast $(TEST_ARGS)

test-portable: $(VENV)/has-test
	BATCHUP_PROCESSES=portable $(PYTEST) --hypothesis-profile=fast tests/test_laws.py tests/promises/test_dying_workers.py \
	  $(TEST_ARGS)

coverage: $(VENV)/has-test
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html $(TEST_ARGS)
	$(PY) -m coverage report --include='batchup/engine/*' --skip-covered --fail-under=$(ENGINE_COVERED)

ENGINE_COVERED := 90

check: $(VENV)/has-test $(VENV)/has-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib batchup benchmarks docs examples tests *.rst
	$(PY) -m mypy
	$(PY) -m check_manifest
	$(PY) -m pytest -q tests/test_layers.py tests/test_layout.py tests/test_names.py tests/typing

docs: $(VENV)/has-docs $(VENV)/has-test
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

figures: $(VENV)/has-examples
	@set -e; for each in $$(grep -l __main__ docs/figures/*.py); do $(PY) "$$each"; done

bench: $(VENV)/has-examples $(VENV)/has-peers
	@set -e; for each in $$(grep -l __main__ benchmarks/*.py); do echo "== $$each"; $(PY) "$$each"; done

# The oldest NumPy that is there for each Python, without compiling it.
OLDEST := "numpy==1.26.*; python_version < '3.13'" "numpy==2.1.*; python_version == '3.13'" \
  "numpy==2.3.*; python_version >= '3.14'" joblib==1.5.2 six==1.16.0

dist: $(VENV)/has-dev
	rm -rf dist
	$(PY) -m build
	$(PY) -m twine check --strict dist/*
	$(PY) -m check_manifest
	.ci/try_wheel "$(PYTHON)" dist/*.whl $(OLDEST)
	.ci/try_wheel "$(PYTHON)" dist/*.whl
	.ci/try_extras "$(PYTHON)" dist/*.whl

clean:
	rm -rf .venv .venv-* build dist *.egg-info docs/_build docs/reference/generated
	rm -rf .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find batchup tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The libraries that the benchmarks compare with; one that cannot be installed is skipped. torch comes first, by this
# version, so that nothing else brings one with CUDA.
$(VENV)/has-peers: $(MADE)
	$(PY) -m pip install --quiet --disable-pip-version-check psutil
	-$(PY) -m pip install --quiet --disable-pip-version-check torch==2.13.0
	-$(PY) -m pip install --quiet --disable-pip-version-check spdl_core
	-$(PY) -m pip install --quiet --disable-pip-version-check grain
	-$(PY) -c "import torch" && $(PY) -m pip install --quiet --disable-pip-version-check deep_pipe torchdata
	-$(PY) -m pip install --quiet --disable-pip-version-check batchflow pandas
	-$(PY) -m pip install --quiet --disable-pip-version-check datasets
	-$(PY) -m pip install --quiet --disable-pip-version-check 'annbatch[zarrs]'
	@touch $@

# One environment; another PYTHON makes it anew. A file has-EXTRA says that the extra is installed.
$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "batchup needs Python 3.11 or newer as PYTHON, not $(PYTHON): make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) -m venv is not there: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# This folder is put on sys.path. By default an import hook is installed, with which each Python takes 20 ms longer to
# start, and so does each worker process.
EDITABLE := --config-settings editable_mode=compat -e

# The tests of what is optional, and the recipes with other libraries, run where those can be installed. torch comes
# first, by this version, as above; timm is left out, as it brings a torchvision that needs another torch.
RECIPES := accelerate albumentations jax[cpu] keras lightning monai numba omegaconf optuna skorch tables torchmetrics

$(VENV)/has-test: $(MADE) setup.cfg setup.py pyproject.toml
	$(if $(OPTIONAL),-$(PY) -m pip install --quiet --disable-pip-version-check torch==2.13.0)
	$(PY) -m pip install --quiet --disable-pip-version-check $(EDITABLE) '.[$(if $(OPTIONAL),test,testcore)]'
	$(if $(OPTIONAL),-$(PY) -m pip install --quiet --disable-pip-version-check $(RECIPES))
	@touch $@

$(VENV)/has-%: $(MADE) setup.cfg setup.py pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check $(EDITABLE) '.[$*]'
	@touch $@
