"""What tests of engines share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchup.engine.process.pickling import cloudpickle


@pytest.fixture(scope="module")
def by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Functions of the module go to workers by value: by name, each worker would import it, and pytest and Hypothesis
    with it, which takes longer than to start."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)
