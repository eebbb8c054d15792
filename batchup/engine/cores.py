"""How many cores there are for this program. In a container these are fewer than the machine has."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

__all__ = ["cores"]

CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """How many cores this process may use.

    By its affinity, by the quota of its control group, as Docker's ``--cpus`` and Kubernetes' limits set it, and by the
    environment variable ``LOKY_MAX_CPU_COUNT``: what `joblib.cpu_count` says, whose import would take longer than the
    start of Python does.

    >>> cores() >= 1
    True
    """
    limits = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        limits.append(len(os.sched_getaffinity(0)))
    quota = _quota()
    if quota is not None:
        limits.append(quota)
    with contextlib.suppress(KeyError, ValueError):
        limits.append(int(os.environ["LOKY_MAX_CPU_COUNT"]))
    return max(1, min(limits))


def _quota() -> int | None:
    """The cores' worth of time that the control group has, rounded up; None if there is no limit.

    Source: cgroup-v2 and sched-bwc in the documentation of the Linux kernel.
    """
    with contextlib.suppress(OSError, ValueError):
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else math.ceil(int(quota) / int(period))
    with contextlib.suppress(OSError, ValueError):
        quota, period = ((CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(quota) <= 0 else math.ceil(int(quota) / int(period))
    return None
