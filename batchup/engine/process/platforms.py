"""Which of two ways worker processes are run: with what Linux has, or with what all systems have."""

from __future__ import annotations

import os
import sys

__all__ = ["is_portable"]

VARIABLE = "BATCHUP_PROCESSES"


def is_portable() -> bool:
    """Whether worker processes use only what all systems have: pipes that threads read, and no shared memory.

    True on all systems but Linux. On Linux, true if the environment has ``BATCHUP_PROCESSES=portable``.

    Raises
    ------
    ValueError
        For any other value of that variable.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen not in ("", "portable"):
        raise ValueError(f"the environment variable {VARIABLE} should be 'portable' or not set, not {chosen!r}")
    return chosen == "portable" or sys.platform != "linux"
