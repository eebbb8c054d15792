"""The programs in examples that promise something run to their end, and show it."""

import re
import socket
from pathlib import Path

import pytest
from launcher import HEAVY, begun, installed

pytestmark = pytest.mark.skipif(not installed("sklearn"), reason="needs scikit-learn")


def needs(*libraries):
    """Skips a test where one of them is missing. None is imported here, as programs are what needs it."""
    return pytest.mark.skipif(len(installed(*libraries)) < len(libraries), reason=f"needs {', '.join(libraries)}")


EXAMPLES = Path(__file__).parent.parent / "examples"


# Processes of the programs themselves are forks here: if they began anew, most of the time would go into imports.
FORK = {'get_context("spawn")': 'get_context("fork")'}
QUICK = "--xla_backend_optimization_level=0"  # most of the time of programs with JAX goes into compiling


@pytest.fixture
def begin(tmp_path):
    """Begins a program, whose code may be changed here and there."""

    def begin(program, *arguments, changed=None, **environment):
        code = (EXAMPLES / program).read_text()
        for before, after in (changed or {}).items():
            assert before in code
            code = code.replace(before, after)
        (tmp_path / program).write_text(code)
        return begun(HEAVY, tmp_path / program, arguments, folder=tmp_path, strict=True, **environment)

    return begin


def ended(program):
    """What it prints; its end is that of the test, if it does not come by itself."""
    out, err = program.communicate(timeout=200)
    assert (0, "") == (program.returncode, err)
    return out


@pytest.fixture
def printed(begin):
    return lambda *arguments, **kwargs: ended(begin(*arguments, **kwargs))


@pytest.mark.timeout(240)
def test_a_killed_and_resumed_run_ends_with_the_same_weights(printed):
    """A run that is killed twice and resumed with other pools ends with the weights of an uninterrupted run."""
    lines = printed("resume.py", "--epochs", "4", changed=FORK).splitlines()

    assert "the weights of both runs are equal, bit for bit: True" == lines[-1]
    assert 2 == sum("killed after" in line for line in lines)


@pytest.mark.timeout(240)
def test_two_ranks_share_an_epoch(printed):
    """Two ranks together see every sample once, and end with the same weights."""
    lines = printed("two_ranks.py", "--epochs", "2", changed=FORK).splitlines()

    assert "in each of 2 epochs, both ranks together see every sample once: True" in lines
    assert "both ranks end with the same weights, bit for bit: True" in lines


@needs("h5py", "zarr", "matplotlib")
@pytest.mark.timeout(240)
def test_training_from_files_gives_the_weights_of_training_from_memory(printed, tmp_path):
    """Digits in HDF5 and zarr files, contiguous and compressed, in worker processes."""
    little = {"(20, 1, 1)": "(2, 1, 1)"}  # data for the rates
    out = str(tmp_path / "rates.png")
    lines = printed("hdf5_zarr.py", "--epochs", "1", "--out", out, changed=little).splitlines()

    assert "all weights are equal, bit for bit: True" in lines
    assert (tmp_path / "rates.png").stat().st_size > 0


def accuracy_of(lines):
    """The number that an example ends with."""
    what, _, number = lines[-1].rpartition(": ")
    assert what.startswith("accuracy on held-out"), lines
    return float(number.rstrip("%")) / 100


@needs("torch", "tqdm")
@pytest.mark.timeout(240)
def test_training_in_pytorch_with_few_labels(printed):
    """The bar counts the steps, and unlabelled crops help to tell the photographs apart."""
    lines = printed("torch_images.py", "--steps", "60").splitlines()

    assert any("60/60" in line for line in lines)
    assert accuracy_of(lines) > 0.7


@needs("torch", "tqdm")
@pytest.mark.timeout(240)
def test_training_in_pytorch_on_two_ranks(begin):
    """Each rank has half of the batches, and says that PyTorch told it so; one of them shows the bar."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}  # as torchrun does
    ranks = [begin("ddp.py", "--epochs", "3", RANK=rank, GLOO_SOCKET_IFNAME="lo", **told) for rank in "10"]
    said = "".join(map(ended, ranks))
    lines = said.splitlines()

    assert {"(0, 2)", "(1, 2)"} == set(re.findall(r"shard=(\(\d, 2\)) from torch", said))
    assert any("24/24" in line for line in lines)
    assert accuracy_of(lines) > 0.8


@needs("torch", "lightning")
@pytest.mark.timeout(240)
def test_a_run_of_lightning_goes_on_within_an_epoch(printed):
    """It ends with the same weights as one without a break."""
    assert "the weights of both runs are equal, bit for bit: True" in printed("lightning_resume.py")


@needs("jax", "tqdm")
@pytest.mark.timeout(240)
def test_training_in_jax_on_eight_devices(printed):
    """The bar counts the batches of all epochs, each of which is spread over the devices."""
    quick = {"device_count=8": f"device_count=8 {QUICK}"}
    lines = printed("jax_sharded.py", "--epochs", "4", changed=quick).splitlines()

    assert any("92/92" in line for line in lines)
    assert "each batch was on 8 devices" in lines
    assert accuracy_of(lines) > 0.8


@needs("keras", "jax")
@pytest.mark.timeout(240)
def test_training_in_keras(printed):
    """The bar of Keras has the number of batches."""
    whole = {"[1500]": "[1504]", "test), 100)": "test), 293)"}  # JAX compiles for each length of a batch
    lines = printed("keras_fit.py", "--epochs", "2", changed=whole, XLA_FLAGS=QUICK).splitlines()

    assert any("47/47" in line for line in lines)
    assert accuracy_of(lines) > 0.8


def numbers(line):
    """The numbers of a line, percentages as shares."""
    return [float(n) / (100 if sign else 1) for n, sign in re.findall(r"(\d+(?:\.\d+)?)(%?)", line)]


@needs("matplotlib")
@pytest.mark.timeout(240)
def test_class_counts_find_the_rare_class_with_fewer_batches(printed, tmp_path):
    """The average precision is higher than with plain shuffling, on average over two tables."""
    options = ["--seeds", "2", "--batches", "75", "--out", str(tmp_path / "curves.png")]
    plain, counted, _ = printed("imbalanced.py", *options).splitlines()

    assert ("plain", "class") == (plain.split()[0], counted.split()[0])
    assert numbers(plain)[0] < numbers(counted)[0]
    assert (tmp_path / "curves.png").stat().st_size > 0


@needs("matplotlib")
@pytest.mark.timeout(240)
def test_hard_examples_are_learnt_by_their_weights(printed, tmp_path):
    """The hardest digits have a smaller loss than with plain shuffling."""
    plain, hard, _ = printed("hard_examples.py", "--epochs", "3", "--out", str(tmp_path / "epochs.png")).splitlines()

    assert numbers(hard)[1] < numbers(plain)[1]
    assert (tmp_path / "epochs.png").stat().st_size > 0


@pytest.mark.timeout(240)
def test_buckets_save_padding(printed):
    """Most of it, in the Loader and in a stream; the shapes of the Loader's batches are those that the sampler says."""
    plain, sampler, stream, shapes = printed("buckets.py", "--epochs", "2").splitlines()

    assert max(numbers(sampler)[0], numbers(stream)[0]) < numbers(plain)[0] / 3
    assert shapes.endswith("as the sampler says: True")


@needs("distributed")
@pytest.mark.timeout(240)
def test_batches_from_a_cluster_give_the_same_weights(printed):
    """Two worker processes of a Dask cluster make the batches of the loop's own thread."""
    notebook = "import argparse\n\ndel __file__\n"  # or the workers import all that this file does
    once = """
def main():
    import dask

    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})  # the workers import Dask once"""
    changed = {"import argparse\n": notebook, "\ndef main():": once}
    lines = printed("dask_cluster.py", "--epochs", "1", changed=changed).splitlines()

    assert "batches were made by 2 workers of the cluster" in lines
    assert "the weights of both runs are equal, bit for bit: True" in lines
    assert accuracy_of(lines) > 0.8
