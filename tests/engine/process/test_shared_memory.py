"""Memory that processes share: had or refused, seen by others, gone with its last use."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from batchup.engine.process import shared_memory
from batchup.errors import SharedMemoryError


def test_no_memory_left_is_an_error_of_ours(monkeypatch):
    """At once, not a signal when the memory is touched; and no descriptor is left."""

    def full(fd, offset, size):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("os.posix_fallocate", full)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(SharedMemoryError, match="4096 bytes of shared memory cannot be allocated: .*no space"):
        shared_memory.Segment(4096)
    assert before == set(os.listdir("/proc/self/fd"))


def test_a_segment_is_seen_by_whoever_maps_its_path():
    """One writes, the other reads; closing keeps what is mapped."""
    segment = shared_memory.Segment(4096)
    ours = segment.map()
    theirs = shared_memory.Segment.mapped(segment.path, 4096)
    segment.close()
    segment.close()
    ours[:5] = b"hello"

    assert b"hello" == bytes(theirs[:5])


def test_mapped_memory_needs_no_descriptor():
    """A hundred pieces, mapped and closed, and not one descriptor more; gone with the last array in them."""

    def counts():
        maps = Path("/proc/self/maps").read_text().count("memfd:batchup")
        return len(os.listdir("/proc/self/fd")), maps

    gc.collect()
    fds, maps = counts()
    memories = []
    for _ in range(100):
        segment = shared_memory.Segment(4096)
        memories.append(np.frombuffer(segment.map(), np.uint8))
        segment.close()

    assert (fds, maps + 100) == counts()
    del memories
    assert (fds, maps) == counts()


def test_without_memory_files_a_temporary_file_serves(monkeypatch, tmp_path):
    """On systems that are not Linux; it is gone with the segment."""
    monkeypatch.delattr("os.memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    segment = shared_memory.Segment(4096)
    segment.map()[:5] = b"hello"

    assert b"hello" == bytes(shared_memory.Segment.mapped(segment.path, 4096)[:5])
    segment.close()
    assert [] == list(tmp_path.iterdir())
