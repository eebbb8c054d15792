"""The DataLoader beside PyTorch's own, on the same dataset."""

import copy
import os
import pickle
import random
import subprocess
import sys
import threading
import warnings
from collections import namedtuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import (  # noqa: E402
    BatchSampler,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
)
from torch.utils.data import DataLoader as TorchLoader  # noqa: E402
from torch.utils.data.distributed import DistributedSampler  # noqa: E402

from batchup import ArrayDataSource, Loader  # noqa: E402
from batchup.errors import BatchTimeoutError, WorkerDiedError  # noqa: E402
from batchup.interop.torch import DataLoader  # noqa: E402

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("shared_workers"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:os.fork"),  # of JAX, if a test before has imported it
]

N = 23


class Pictures(Dataset):
    """Samples of all that PyTorch's collation knows."""

    def __init__(self, n=N):
        self.n = n
        self.pixels = np.arange(n * 12, dtype=np.float32).reshape(n, 3, 4)

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        point = Point(torch.tensor(i), i / 2)
        return {"pixels": self.pixels[i], "name": str(i), "point": point, "list": [i, (torch.ones(2) * i, True)]}


Point = namedtuple("Point", "x y")


class Augmented(Pictures):
    def __getitem__(self, i):
        return i, torch.rand(2), random.random(), np.random.rand()


def equal(a, b):
    """Whether two batches are the same, in values and in types."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def generator():
    return torch.Generator().manual_seed(7)


def tensors(n=N):
    return TensorDataset(torch.arange(n), torch.arange(n * 6.0).reshape(n, 2, 3))


def beside(dataset, epochs=2, seed=3, **kwargs):
    """The epochs of PyTorch's loader, and of ours; arguments that are functions make one for each.

    PyTorch's has no workers, on which its batches of a dataset with a length do not depend: they take long to start.
    """
    found = []
    for cls in (TorchLoader, DataLoader):
        torch.manual_seed(seed)
        given = {name: value() if name in MADE else value for name, value in kwargs.items()}
        loader = cls(dataset, **{**given, "num_workers": 0} if cls is TorchLoader else given)
        found.append([list(loader) for _ in range(epochs)])
    return found


MADE = ("generator", "sampler", "batch_sampler")

ORDERS = {
    "in order": {"batch_size": 4},
    "drop_last": {"batch_size": 4, "drop_last": True},
    "shuffled": {"batch_size": 4, "shuffle": True},
    "shuffled by a generator": {"batch_size": 4, "shuffle": True, "generator": generator},
    "single samples": {"batch_size": None, "shuffle": True},
    "random": {"batch_size": 5, "sampler": lambda: RandomSampler(range(N), replacement=True, num_samples=70)},
    "random with a generator": {"batch_size": 5, "sampler": lambda: RandomSampler(range(N), generator=generator())},
    "random, several times": {"batch_size": 5, "sampler": lambda: RandomSampler(range(N), num_samples=50)},
    "weighted": {"batch_size": 5, "sampler": lambda: WeightedRandomSampler(range(1, N + 1), 40)},
    "subset": {"batch_size": 5, "sampler": lambda: SubsetRandomSampler(range(3, 20))},
    "distributed": {"batch_size": 5, "sampler": lambda: DistributedSampler(range(N), 2, 1, seed=5)},
    "a list": {"batch_size": 3, "sampler": lambda: [5, 2, 2, 9]},
    "batches": {"batch_sampler": lambda: BatchSampler(SequentialSampler(range(N)), 6, True)},
    "a list of batches": {"batch_sampler": lambda: [[1, 2], [3], [0, 4, -1]]},
}


# Workers draw no order: with them, one of each kind will do.
WITH_WORKERS = ["drop_last", "shuffled by a generator", "single samples", "random, several times", "a list of batches"]
ORDERS_AND_WORKERS = [*((order, 0) for order in ORDERS), *((order, 2) for order in WITH_WORKERS)]


@pytest.mark.parametrize(("order", "workers"), ORDERS_AND_WORKERS)
def test_order(order, workers):
    """The same samples in the same batches, for each sampler, epoch after epoch."""
    expected, actual = beside(Pictures(), num_workers=workers, **ORDERS[order])

    assert equal(expected, actual)


@pytest.mark.parametrize(("order", "workers"), ORDERS_AND_WORKERS)
def test_order_of_tensors(order, workers):
    """A TensorDataset, which is read a batch at a time, gives the batches that single samples make."""
    expected, actual = beside(tensors(), num_workers=workers, **ORDERS[order])

    assert equal(expected, actual)


def test_order_of_a_subset_of_tensors():
    """The same goes for a subset of it."""
    expected, actual = beside(Subset(tensors(), [4, 2, 9, 9, -1]), batch_size=2, shuffle=True)

    assert equal(expected, actual)


def test_global_generator():
    """What a program draws between batches is what it draws with PyTorch's loader."""
    drawn = []
    for cls in (TorchLoader, DataLoader):
        torch.manual_seed(1)
        drawn.append(
            [torch.rand(1).item() for _ in cls(tensors(), batch_size=4, shuffle=True)] + [torch.rand(1).item()]
        )

    assert drawn[0] == drawn[1]


def test_set_epoch():
    """`set_epoch` of a DistributedSampler gives the order of that epoch."""
    found = []
    for cls in (TorchLoader, DataLoader):
        sampler = DistributedSampler(range(N), 2, 0, seed=5)
        loader = cls(tensors(), batch_size=4, sampler=sampler)
        found.append([])
        for epoch in (0, 3):
            sampler.set_epoch(epoch)
            found[-1].append(list(loader))

    assert equal(*found)


@pytest.mark.parametrize(
    "dataset",
    [
        ConcatDataset([Pictures(5), Pictures(4)]),
        StackDataset(tensors(6), tensors(6)),
        [1.5, 2.5, 3.5],
        {0: "a", 1: "b"},
        TensorDataset(torch.ones(4, 2, dtype=torch.bfloat16), torch.ones(4, dtype=torch.complex64)),
        Subset([torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)], [1, 0]),
    ],
    ids=["ConcatDataset", "StackDataset", "list", "dict", "types", "bfloat16"],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_kinds_of_datasets(dataset, workers):
    """Anything with a length and samples by index is a dataset."""
    theirs, ours = (list(cls(dataset, batch_size=2, num_workers=workers)) for cls in (TorchLoader, DataLoader))

    assert equal(theirs, ours)


@pytest.mark.parametrize("workers", [0, 1])
def test_sparse_tensors_are_refused(workers):
    """PyTorch's collation refuses sparse tensors, with us as well."""
    dataset = TensorDataset(torch.eye(4).to_sparse())
    for cls in (TorchLoader, DataLoader):
        with pytest.raises(RuntimeError, match="sparse tensors are not currently supported"):
            list(cls(dataset, batch_size=2, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_collate_fn(workers):
    """A function of ours makes the batch of a list of samples; a lambda will do in worker processes, too."""
    kwargs = {"batch_size": 4, "collate_fn": lambda samples: ("mine", [sample["name"] for sample in samples])}
    expected, actual = (list(cls(Pictures(), **kwargs)) for cls in (TorchLoader, DataLoader))

    assert equal(expected, actual)
    assert equal(expected, list(DataLoader(Pictures(), num_workers=workers, **kwargs)))


def test_getitems():
    """`__getitems__` is asked for a batch at once."""

    class Many(Pictures):
        def __getitems__(self, indices):
            return [("many", i) for i in indices]

    expected, actual = beside(Many(), batch_size=4)

    assert equal(expected, actual)
    assert actual[0][0][0] == ("many",) * 4


class Info(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        info = get_worker_info()
        return (-1, 0, 0, 0) if info is None else (info.id, info.num_workers, info.seed, int(info.dataset is self))


def test_worker_info():
    """In a worker, `get_worker_info` gives its number, how many there are, a seed, and its copy of the dataset."""
    found = []
    for cls in (TorchLoader, DataLoader):
        torch.manual_seed(5)
        found.append(torch.cat([torch.stack(fields, 1) for fields in cls(Info(), batch_size=1, num_workers=2)]))
    theirs, ours = found

    assert set(ours[:, 0].tolist()) <= {0, 1}
    assert set(map(tuple, ours[:, [0, 2]].tolist())) <= set(map(tuple, theirs[:, [0, 2]].tolist()))
    assert torch.equal(ours[:, [1, 3]], theirs[:, [1, 3]])


def test_no_worker_info_in_the_loop():
    """Without workers there is none."""
    assert [-1] * 8 == [int(fields[0]) for fields in DataLoader(Info())]


def test_worker_init_fn():
    """It is called in each worker, before the first sample, with its number; it may change the dataset."""

    def mark(worker):
        get_worker_info().dataset.pixels[:] = 100 + worker

    batches = list(DataLoader(Pictures(), batch_size=1, num_workers=2, worker_init_fn=mark))

    assert {float(batch["pixels"][0, 0, 0]) for batch in batches} <= {100.0, 101.0}


def test_a_failing_worker_init_fn():
    """Its error is raised as itself, and says where."""

    def fail(worker):
        raise KeyError("no such disk")

    with pytest.raises(KeyError) as caught:
        list(DataLoader(Pictures(), num_workers=2, worker_init_fn=fail))

    assert "in worker_init_fn(" in " ".join(caught.value.__notes__)


def test_augmentation_does_not_depend_on_workers():
    """What samples draw from PyTorch, Python and NumPy is the same with any number of workers."""
    found = [
        list(DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=n, generator=generator()))
        for n in (0, 1, 2)
    ]
    drawn = torch.cat([batch[3] for batch in found[0]])

    assert equal(found[0], found[1])
    assert equal(found[0], found[2])
    assert len(set(drawn.tolist())) == N


def test_augmentation_leaves_the_programs_generators():
    """The generators of the main program go on as if the samples had drawn nothing."""
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = torch.rand(1).item(), random.random(), np.random.rand()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    list(DataLoader(Augmented(), batch_size=4, generator=generator()))

    assert expected == (torch.rand(1).item(), random.random(), np.random.rand())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_sample(workers):
    """An error of the dataset is raised as itself, with the batch and the sample; the loop can go on."""

    class Broken(Pictures):
        def __getitem__(self, i):
            return 10 // (i - 9)

    batches = iter(DataLoader(Broken(), batch_size=4, num_workers=workers))
    first = [next(batches), next(batches)]
    with pytest.raises(ZeroDivisionError) as caught:
        next(batches)
    notes = " ".join(caught.value.__notes__)

    assert "in Broken[9]" in notes
    assert "while fetching batch 2 of epoch 0 (samples 8, 9, 10, 11)" in notes
    assert equal(first[0], torch.tensor([10 // (i - 9) for i in range(4)]))
    assert len(list(batches)) == 3


def test_an_error_names_the_collate_fn():
    """An error of `collate_fn` names it."""

    def pad(samples):
        raise ValueError("cannot pad")

    with pytest.raises(ValueError, match="cannot pad") as caught:
        list(DataLoader(Pictures(), collate_fn=pad))

    assert "in pad" in caught.value.__notes__


def test_timeout(tmp_path):
    """A batch that takes longer than `timeout` is an error; PyTorch has a RuntimeError, we have a TimeoutError."""
    flag = tmp_path / "stuck"

    class Stuck(Pictures):
        def __getitem__(self, i):
            threading.Event().wait(60 if flag.exists() else 0)
            return i

    loader = DataLoader(Stuck(), num_workers=1, timeout=60)
    assert len(list(loader)) == N  # by now the worker has started
    flag.touch()
    loader.timeout = 0.2
    batches = iter(loader)

    with pytest.raises(BatchTimeoutError, match="timeout=0.2"):
        next(batches)


def test_a_worker_that_dies_every_time():
    """PyTorch's loader ends; here the error says which batch it was, and the loop goes on."""

    class Deadly(Pictures):
        def __getitem__(self, i):
            if i == 5:
                os._exit(3)
            return i

    batches = iter(DataLoader(Deadly(), batch_size=4, num_workers=2))
    next(batches)
    with pytest.raises(WorkerDiedError, match="exit"):
        next(batches)

    assert [8, 9, 10, 11] == next(batches).tolist()


def test_a_worker_may_change_its_dataset():
    """What a worker writes to the arrays and tensors of its dataset, it sees, and nobody else does."""

    class Counting(Dataset):
        def __init__(self):
            self.counts, self.tensor = np.zeros(4, int), torch.zeros(4, dtype=torch.int64)

        def __len__(self):
            return 4

        def __getitem__(self, i):
            self.counts += 1
            self.tensor.add_(1)
            return self.counts[0], self.tensor[0].clone()

    dataset = Counting()
    seen = [tuple(map(int, batch)) for batch in DataLoader(dataset, num_workers=1)]

    assert [(1, 1), (2, 2), (3, 3), (4, 4)] == seen
    assert not dataset.counts.any()


def test_a_dataset_that_changes_between_epochs():
    """Workers get the dataset as it is when an epoch begins."""
    dataset = Pictures()
    loader = DataLoader(dataset, batch_size=N, num_workers=1, collate_fn=lambda samples: samples[0]["pixels"])
    first = next(iter(loader)).copy()
    dataset.pixels += 1

    assert np.array_equal(first + 1, next(iter(loader)))


def test_a_tensor_on_a_device_is_refused():
    """A worker cannot send what lies on a device; the error says what to do."""
    loader = DataLoader(Pictures(), num_workers=1, collate_fn=lambda samples: torch.empty(3, device="meta"))

    with pytest.raises(TypeError, match="tensors on the CPU, not on meta"):
        next(iter(loader))


BAD = [
    ({"num_workers": -1}, ValueError, "num_workers"),
    ({"timeout": -1}, ValueError, "timeout"),
    ({"prefetch_factor": 2}, ValueError, "prefetch_factor"),
    ({"persistent_workers": True}, ValueError, "persistent_workers"),
    ({"shuffle": True, "sampler": [0]}, ValueError, "sampler"),
    ({"batch_sampler": [[0]], "drop_last": True}, ValueError, "batch_sampler"),
    ({"batch_size": None, "drop_last": True}, ValueError, "drop_last"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"multiprocessing_context": "spoon", "num_workers": 1}, ValueError, "multiprocessing_context"),
]


@pytest.mark.parametrize(("kwargs", "error", "match"), BAD)
def test_arguments_that_both_refuse(kwargs, error, match):
    """Wrong arguments are the same error as PyTorch's."""
    for cls in (TorchLoader, DataLoader):
        with pytest.raises(error, match=match):
            cls(Pictures(), **kwargs)


def test_workers_by_fork_are_refused():
    """Workers start clean, and nobody should think that they are forks."""
    with pytest.raises(ValueError, match="never forked"):
        DataLoader(Pictures(), num_workers=2, multiprocessing_context="fork")


def test_a_timeout_without_workers_is_refused():
    """Nobody can interrupt the loop itself; PyTorch asserts that when it is iterated."""
    with pytest.raises(ValueError, match="timeout should be 0 with num_workers=0"):
        DataLoader(Pictures(), timeout=3)


def test_data_pipes_are_refused():
    """Data pipes have ways of their own with seeds and workers."""
    from torch.utils.data.datapipes.iter import IterableWrapper

    with pytest.raises(TypeError, match="data pipe IterableWrapper"):
        DataLoader(IterableWrapper([1, 2]))


def test_what_frameworks_look_at():
    """It is a DataLoader, with the attributes that Lightning and Accelerate read, and is fixed like one."""
    theirs, ours = (cls(tensors(), batch_size=4, shuffle=True, drop_last=True) for cls in (TorchLoader, DataLoader))

    assert isinstance(ours, TorchLoader)
    assert len(theirs) == len(ours) == 5
    assert set(vars(theirs)) <= set(vars(ours))
    assert type(ours.sampler) is RandomSampler
    assert type(ours.batch_sampler) is BatchSampler
    with pytest.raises(ValueError, match="should not be set"):
        ours.batch_size = 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(copied):
    """A loader can be copied and pickled, as PyTorch's can; the copy is a run of its own."""
    loader = DataLoader(tensors(), batch_size=4)
    next(iter(loader))
    again = copied(loader)

    assert (0, 0) == (again.epoch, again.step)
    assert equal(list(loader), list(again))


def test_two_loops_at_a_time():
    """Two loops over one loader do not disturb each other, as with PyTorch's."""
    loader = DataLoader(Pictures(), batch_size=4, num_workers=2)

    assert all(equal(a, b) for a, b in zip(loader, loader, strict=True))


def test_a_loader_without_a_name():
    """The loop goes on when nothing else refers to the loader."""
    assert len(list(iter(DataLoader(Pictures(), batch_size=4, num_workers=2)))) == 6


def test_explain_and_stats():
    """The loader says what limits the loop, and how many batches there were."""
    loader = DataLoader(Pictures(), batch_size=4)
    before = loader.explain()
    list(loader)

    assert before == "no batch was delivered yet"
    assert loader.stats().batches == 6
    assert [stage.name for stage in loader.stats().stages] == ["the samples of Pictures", "default_collate"]
    assert loader.explain() != before


def test_pin_memory_without_a_gpu():
    """Without a GPU, batches are as they are, and nothing is said."""
    if torch.accelerator.is_available():
        pytest.skip("there is a GPU")
    expected, actual = (list(DataLoader(tensors(), batch_size=4, pin_memory=pin)) for pin in (False, True))

    assert equal(expected, actual)


def test_default_collate_in_a_collate_fn():
    """`default_collate` may be part of a function of ours."""
    loader = DataLoader(Pictures(), batch_size=4, num_workers=1, collate_fn=lambda samples: default_collate(samples))

    assert equal(list(TorchLoader(Pictures(), batch_size=4)), list(loader))


class Numbers(IterableDataset):
    """Shares itself out between workers, as PyTorch's documentation shows."""

    def __init__(self, n=N):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return ((i, torch.rand(1)) for i in range(first, self.n, step))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "kwargs", [{"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}], ids=str
)
def test_iterable_datasets(kwargs, workers):
    """An IterableDataset gives the same batches in the same order, shared out by `get_worker_info`."""
    theirs, ours = (list(cls(Numbers(), num_workers=workers, **kwargs)) for cls in (TorchLoader, DataLoader))

    assert equal([batch[0] for batch in theirs], [batch[0] for batch in ours])


def test_iterable_datasets_of_unequal_workers():
    """When the iterator of one worker ends, the others take its turns."""

    class Unequal(IterableDataset):
        def __iter__(self):
            return iter(range(3 if get_worker_info().id == 0 else 20))

    theirs, ours = (list(cls(Unequal(), batch_size=2, num_workers=2)) for cls in (TorchLoader, DataLoader))

    assert equal(theirs, ours)


class Range(IterableDataset):
    """Numbers from `start` to `end`. Each worker has a copy."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def __iter__(self):
        return iter(range(self.start, self.end))


def own_part(worker_id):
    """Cut the copy of this worker down to its share."""
    info = get_worker_info()
    each = -(-(info.dataset.end - info.dataset.start) // info.num_workers)
    info.dataset.start += worker_id * each
    info.dataset.end = min(info.dataset.start + each, info.dataset.end)


@pytest.mark.parametrize("workers", [0, 2, 4])
@pytest.mark.parametrize("init", [None, own_part])
def test_documented_iterable_datasets(workers, init):
    """An IterableDataset that does not look at its worker comes once for each; `worker_init_fn` can share it out, also
    between more workers than there are samples."""
    theirs, ours = (
        list(cls(Range(3, 6), num_workers=workers, worker_init_fn=init)) for cls in (TorchLoader, DataLoader)
    )

    assert equal(theirs, ours)


class Columns:
    """A batch of a class of one's own, with a method of its own for pinned memory."""

    def __init__(self, samples):
        self.first, self.second = (torch.stack(column) for column in zip(*samples, strict=True))
        self.pinned = False

    def pin_memory(self):
        self.pinned = True
        return self


@pytest.mark.parametrize("workers", [0, 2])
def test_documented_batches_of_a_class(workers):
    """`collate_fn` may make an object of a class of one's own."""
    theirs, ours = (
        list(cls(tensors(), batch_size=4, collate_fn=Columns, num_workers=workers)) for cls in (TorchLoader, DataLoader)
    )

    assert equal([(x.first, x.second) for x in theirs], [(x.first, x.second) for x in ours])
    assert [type(x) for x in theirs] == [type(x) for x in ours]


def test_documented_loops():
    """What the loader does is what these loops do, and what its documentation says it does."""
    dataset, batches = Pictures(), BatchSampler(SequentialSampler(range(N)), 5, False)
    of_batches = [default_collate([dataset[i] for i in indices]) for indices in batches]
    of_samples = [dataset[i]["point"].x for i in [4, 1]]

    assert equal(of_batches, list(DataLoader(dataset, batch_sampler=batches)))
    picked = DataLoader(dataset, batch_size=None, sampler=[4, 1], collate_fn=lambda sample: sample["point"].x)
    assert equal(of_samples, list(picked))


def test_len_of_iterable_datasets():
    """The length is that of the dataset, if it has one."""

    class Sized(Numbers):
        def __len__(self):
            return N

    assert len(TorchLoader(Sized(), batch_size=4)) == len(DataLoader(Sized(), batch_size=4)) == 6
    with pytest.raises(TypeError):
        len(DataLoader(Numbers(), batch_size=4))


@pytest.mark.parametrize("kwargs", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}], ids=str)
def test_iterable_datasets_have_no_sampler(kwargs):
    """An order for an IterableDataset is refused."""
    for cls in (TorchLoader, DataLoader):
        with pytest.raises(ValueError, match="IterableDataset"):
            cls(Numbers(), **kwargs)


class Hashed(Sampler):
    """A sampler of somebody's own, which draws from NumPy's global generator."""

    def __iter__(self):
        return iter(np.random.permutation(N).tolist())

    def __len__(self):
        return N


LOADERS = {
    "generator": lambda n: DataLoader(Augmented(), 4, True, num_workers=n, generator=torch.Generator()),
    "global generator": lambda n: DataLoader(Augmented(), 4, True, num_workers=n),
    "tensors": lambda n: DataLoader(tensors(), 4, True, num_workers=n, generator=torch.Generator()),
    "weighted": lambda n: DataLoader(
        Augmented(), 4, sampler=WeightedRandomSampler(range(1, N + 1), N, generator=torch.Generator()), num_workers=n
    ),
    "replacement": lambda n: DataLoader(
        Augmented(), 4, sampler=RandomSampler(range(N), True, 90, generator=torch.Generator()), num_workers=n
    ),
    "distributed": lambda n: DataLoader(Augmented(), 4, sampler=DistributedSampler(range(N), 2, 1), num_workers=n),
    "own sampler": lambda n: DataLoader(Augmented(), 4, sampler=Hashed(), num_workers=n),
}


@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 0), (0, 2), (2, 1)])
@pytest.mark.parametrize("kind", LOADERS)
def test_resume(kind, before, after):
    """A new loader goes on at the exact next batch, with any number of workers; the epochs behind follow."""
    loader, other = LOADERS[kind](before), LOADERS[kind](after)
    list(loader)
    batches = iter(loader)
    for _ in range(2):
        next(batches)
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    rest = [list(batches)]
    other.load_state_dict(state)
    found = [list(other)]
    if kind not in ("global generator", "own sampler"):  # whose generators a checkpoint has to save for itself
        rest.append([batch[0] for batch in loader])
        found.append([batch[0] for batch in other])

    assert (1, 2) == (state["epoch"], state["step"])
    assert equal(rest, found)


@pytest.mark.parametrize("kind", ["generator", "tensors"])
def test_resume_between_epochs(kind):
    """The state behind the last batch is that of the next epoch."""
    loader, other = LOADERS[kind](0), LOADERS[kind](0)
    list(loader)
    other.load_state_dict(loader.state_dict())

    assert (1, 0) == (other.epoch, other.step)
    assert equal(list(loader), list(other))


def test_resume_after_a_loop_that_was_left():
    """After a loop that was left, the rest of its epoch."""
    loader, whole = [DataLoader(tensors(), batch_size=3, shuffle=True, generator=generator()) for _ in range(2)]
    head = next(iter(loader))

    assert equal(list(whole), [head, *loader.resume()])
    assert (1, 0) == (loader.epoch, loader.step)


def test_a_state_that_was_loaded_is_given_again():
    """Before the next loop, the state is the one that was loaded."""
    loader, other = LOADERS["generator"](0), LOADERS["generator"](0)
    next(iter(loader))
    other.load_state_dict(loader.state_dict())

    assert loader.state_dict() == other.state_dict()


def test_resume_leaves_the_programs_generators():
    """To draw an epoch again, the global generators are set back; afterwards they are as before."""
    loader, other = LOADERS["own sampler"](0), LOADERS["own sampler"](0)
    next(iter(loader))
    other.load_state_dict(loader.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    iter(other)

    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == np.random.get_state()[1].tolist()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [1, 4])
def test_resume_iterable_datasets(workers, done):
    """An IterableDataset is run up to the exact next batch, its random numbers included."""

    def made():
        return DataLoader(Numbers(), batch_size=3, num_workers=workers, generator=generator())

    loader, other = made(), made()
    batches = iter(loader)
    for _ in range(done):
        next(batches)
    state = loader.state_dict()
    other.load_state_dict(state)

    assert equal(list(batches), list(other))


def test_resume_with_a_sampler_that_cannot_be_repeated():
    """A sampler that gives another order is noticed."""

    class Fresh(Hashed):
        def __iter__(self):
            return iter(np.random.default_rng().permutation(N).tolist())

    loader, other = (DataLoader(tensors(), 4, sampler=Fresh()) for _ in range(2))
    next(iter(loader))
    other.load_state_dict(loader.state_dict())

    with pytest.raises(ValueError, match="Fresh methods state_dict and load_state_dict, or a seed"):
        next(iter(other))


def _state(**changes):
    loader = DataLoader(tensors(), batch_size=4, shuffle=True)
    next(iter(loader))
    return {**loader.state_dict(), **changes}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (lambda: _state(batch_size=5), "batch_size=5, but here it is 4"),
        (lambda: _state(length=7), "length=7, but here it is 23"),
        (lambda: _state(version=9), "version 9"),
        (lambda: {"_snapshot": {}, "_steps_since_snapshot": 1}, "torchdata's StatefulDataLoader"),
        (lambda: {"_sampler_iter_yielded": 3, "_num_yielded": 3}, "torchdata's StatefulDataLoader"),
        (lambda: {"seed": 3, "epoch": 0}, "should be one of this DataLoader's"),
    ],
)
def test_states_of_other_runs_are_refused(state, match):
    """A state of other data, or of another kind of loader, is refused with the reason."""
    with pytest.raises(ValueError, match=match):
        DataLoader(tensors(), batch_size=4, shuffle=True).load_state_dict(state())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_state_of_torchdata(workers):
    """A state that torchdata's own loader gives is refused, with the reason."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stateful(tensors(), batch_size=4, num_workers=workers)
        batches = iter(theirs)
        next(batches)
        state = theirs.state_dict()
        del batches

    with pytest.raises(ValueError, match="one of torchdata's StatefulDataLoader: it says how far the workers"):
        DataLoader(tensors(), batch_size=4).load_state_dict(state)


def test_worker_info_in_threads():
    """Threads are part of the main program, where PyTorch's function gives None; a loader of ours has no other."""

    def asked(x):
        return (np.full(len(x), get_worker_info() is None),)

    with Loader(ArrayDataSource([np.arange(6)]).map(asked), 2, pool="threads") as loader:
        assert all(none.all() for (none,) in loader)


def test_a_state_of_an_iterable_dataset_with_other_workers_is_refused():
    """Within an epoch, the number of workers decides who has which samples."""
    loader = DataLoader(Numbers(), batch_size=3, num_workers=2)
    next(iter(loader))

    with pytest.raises(ValueError, match="num_workers=2, not 0"):
        DataLoader(Numbers(), batch_size=3).load_state_dict(loader.state_dict())


def test_the_state_does_not_count_what_is_pinned_ahead(monkeypatch):
    """Batches that were copied to pinned memory, and not delivered, are not in the state."""
    from batchup.interop.torch import epochs as module

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    pinned, third = [], threading.Event()

    def pin(batch):
        pinned.append(batch)
        if len(pinned) == 3:
            third.set()
        return batch

    monkeypatch.setattr(module, "pinned", pin)
    made = [DataLoader(Augmented(), 4, True, pin_memory=True, generator=generator()) for _ in range(2)]
    batches = iter(made[0])
    next(batches)
    assert third.wait(30)  # two more are ready
    state = made[0].state_dict()
    made[1].load_state_dict(state)

    assert (0, 1) == (state["epoch"], state["step"])
    assert equal(list(batches), list(made[1]))
    assert equal(list(made[0]), list(made[1]))
    for each in made:
        each.close()


def test_without_pytorch():
    """Where PyTorch is missing, the error names it, with the command."""
    code = "import sys; sys.modules['torch'] = None; import batchup.interop.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert "needs PyTorch, which is not installed: pip install torch" in done.stderr
