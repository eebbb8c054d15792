"""Batches on JAX's devices. Programs of their own have eight of them, or several processes."""

import importlib.util
import socket
import sys
import textwrap

import launcher
import numpy as np
import pytest

from batchup import Loader
from batchup.interop.jax import device_put

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX"),
]

BEGINNING = """
    import sys
    import jax, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from batchup import Loader
    from batchup.interop.jax import device_put

    X, y = np.arange(640, dtype=np.float32).reshape(64, 10), np.arange(64)
"""


@pytest.fixture
def begun(tmp_path):
    """Begins a program of its own, with so many devices."""

    def begun(program, *args, devices=8):
        code = textwrap.dedent(BEGINNING) + textwrap.dedent(program)
        flags = f"--xla_force_host_platform_device_count={devices}"
        return launcher.begun(launcher.HEAVY, code, args, folder=tmp_path, XLA_FLAGS=flags)

    return begun


def printed(process):
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out.splitlines()


def test_arrays_of_jax():
    """Numbers become arrays of JAX; strings and objects stay; tuples and dicts keep their shape."""
    import jax

    batch = {"x": np.arange(6, dtype=np.float32), "name": np.array(list("abcdef")), "pair": (np.arange(6), np.ones(6))}
    with device_put(Loader([batch["x"]], 6)) as simple:
        ((x,),) = list(simple)
    source = Loader([np.arange(6)], 6).source.map(lambda i: {**batch, "pair": batch["pair"]})
    with device_put(Loader(source, 6)) as batches:
        (got,) = list(batches)

    assert isinstance(x, jax.Array)
    assert batch["x"].tolist() == x.tolist() == got["x"].tolist()
    assert batch["name"] is got["name"]
    assert all(isinstance(part, jax.Array) for part in got["pair"])


def test_what_jax_cannot_hold_is_named():
    """An error of JAX says which field and which batch."""
    loader = Loader([np.arange(4), np.zeros(4, "M8[s]")], 2)
    with device_put(loader) as batches, pytest.raises(TypeError, match="datetime64") as caught:
        next(iter(batches))

    assert [
        "in field 1 of the batch, of shape (2,) and type datetime64[s]",
        "while moving batch 0 of epoch 0; the next call tries it again",
    ] == caught.value.__notes__


def test_eight_devices(begun):
    """A batch is spread over the devices, from a pool of processes too, and stays as it is while the loop goes on."""
    program = """
        if __name__ == "__main__":
            sharding = NamedSharding(jax.make_mesh((8,), ("batch",)), PartitionSpec("batch"))
            large = np.arange(64 * 5000, dtype=np.float32).reshape(64, 5000)
            expected = [x for (x,) in Loader([large], 8, shuffle=7)]
            with device_put(Loader([large], 8, shuffle=7, pool="processes"), sharding) as batches:
                got = [x for (x,) in batches]
            print(all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True)))
            print({(len(x.sharding.device_set), x.addressable_shards[0].data.shape) for x in got})
    """

    assert ["True", "{(8, (1, 5000))}"] == printed(begun(program))


def test_a_batch_that_devices_cannot_share(begun):
    """The error of JAX says which field and which batch; a batch that fits comes all the same."""
    program = """
        sharding = NamedSharding(jax.make_mesh((8,), ("batch",)), PartitionSpec("batch"))
        with device_put(Loader([y[:12]], 8), sharding) as batches:
            loop = iter(batches)
            print(next(loop)[0].tolist())
            try:
                next(loop)
            except ValueError as error:
                print(error.__notes__[0])
    """

    assert [
        "[0, 1, 2, 3, 4, 5, 6, 7]",
        "in field 0 of the batch, of shape (4,) and type int64",
    ] == printed(begun(program))


def test_two_processes(begun):
    """Each process gives its part of a global array; the shard is found by itself."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    program = """
        rank, port = map(int, sys.argv[1:])
        jax.distributed.initialize(f"localhost:{port}", 2, rank)
        sharding = NamedSharding(jax.make_mesh((4,), ("batch",)), PartitionSpec("batch"))
        loader = Loader([X, y], 8, shard="auto")
        with device_put(loader, sharding) as batches:
            for X, y in batches:
                print(X.shape, [int(part.data[0]) for part in y.addressable_shards])
    """
    both = [begun(program, rank, port, devices=2) for rank in range(2)]
    first, second = map(printed, both)

    assert [f"(16, 10) [{i}, {i + 4}]" for i in (0, 16, 32, 48)] == first
    assert [f"(16, 10) [{i}, {i + 4}]" for i in (8, 24, 40, 56)] == second


def test_without_jax(monkeypatch):
    """The error names what to install."""
    monkeypatch.setitem(sys.modules, "jax", None)

    with pytest.raises(ModuleNotFoundError, match="pip install jax"):
        device_put(Loader([np.arange(3)], 2))
