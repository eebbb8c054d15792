"""The number of cores for this program. In a container it may be smaller than that of the machine."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

__all__ = ["cores"]

CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """The number of cores that this process may use.

    It is limited by the affinity, by the quota of the control group (set by Docker's ``--cpus`` and by limits of
    Kubernetes), and by the environment variable ``LOKY_MAX_CPU_COUNT``. This is the number of `joblib.cpu_count`; to
    import joblib would take longer than to start Python.

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
    """The quota of the control group, in cores, rounded up; None if there is no limit.

    Source: cgroup-v2 and sched-bwc in the documentation of the Linux kernel.
    """
    with contextlib.suppress(OSError, ValueError):
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return None if quota == "max" else math.ceil(int(quota) / int(period))
    with contextlib.suppress(OSError, ValueError):
        quota, period = ((CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(quota) <= 0 else math.ceil(int(quota) / int(period))
    return None
