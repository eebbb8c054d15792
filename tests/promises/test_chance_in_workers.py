"""Chance: what maps draw from `numpy.random` and `random` in worker processes."""

import os

import pytest
from programs import quiet, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

NOISE = """
def noise(x):
    k = int(x[0, 0]) // 20
    if (here / "deadly").exists() and k in (3, 99) and not noted(f"died {k}"):
        note(f"died {k}")
        os._exit(7)
    return np.random.random(3), np.array([random.random(), random.gauss(0, 1)])

Y = np.arange(500 * 4).reshape(500, 4)

def epochs(pool, n=1, shuffle=7):
    par = pool.parallel_data_source(ArrayDataSource([Y]).map(noise), 6)
    return [[(*a.tolist(), *b.tolist()) for a, b in par.batch_iterator(5, shuffle=shuffle)] for _ in range(n)]
"""


def test_noise_depends_on_the_seed_alone(tmp_path):
    """100 of 100 batches differ, in epochs too; 1 and 2 workers give the same, and so do replaced ones."""
    ended = run(
        NOISE
        + """
found = {}
for n in [1, 2]:
    with WorkerProcessPool(n) as pool:
        found[n] = epochs(pool, 2)
        if n == 2:
            note("deadly")
            replaced = epochs(pool, 2) == found[1], pool.engine.stats()["restarts"]
            other = epochs(pool, 1, shuffle=8)[0]
print([len(set(epoch)) for epoch in found[1]], len(set(found[1][0] + found[1][1])))
print(len({each[0] for each in found[1][0]}), len({each[3] for each in found[1][0]}))
print(found[1] == found[2])
print(*replaced)
print(other == found[1][0])
""",
        tmp_path,
    )

    # shuffled: which batch begins with which row is chance too, so the number of deaths is not known
    said = ended.stdout.splitlines()
    assert (0, "", 0) == (ended.returncode, ended.stderr, ended.left)
    assert ["[100, 100] 200", "100 100", "True"] == said[:3]
    assert "True" == said[3].split()[0]
    assert "False" == said[4]


def test_noise_after_each_death(tmp_path):
    """In order: two batches that cost a worker each have the noise that they have without."""
    ended = run(
        NOISE
        + """
kinds = [np.random.RandomState, np.random.default_rng, np.random.SeedSequence]
with WorkerProcessPool(2) as pool:
    np.random.seed(3)
    undisturbed = epochs(pool, shuffle=None)
    shuffled = [epochs(pool, shuffle=kind(5)) for kind in kinds]
    note("deadly")
    np.random.seed(3)
    print(epochs(pool, shuffle=None) == undisturbed, pool.engine.stats()["restarts"])
    for k in (3, 99):
        os.remove(here / f"died {k}")
    print([epochs(pool, shuffle=kind(5)) for kind in kinds] == shuffled)
    print([epochs(pool, shuffle=kind(6)) == each for kind, each in zip(kinds, shuffled)])
""",
        tmp_path,
    )

    assert quiet("True 2\nTrue\n[False, False, False]\n") == ended


def test_the_callers_generators_are_left_alone(tmp_path):
    """With a seed or a generator nothing is drawn from the global ones; without, one seed from NumPy's alone."""
    ended = run(
        NOISE
        + """
np.random.seed(1)
random.seed(1)
expected = np.random.random(), random.random()
with WorkerProcessPool(2) as pool:
    for shuffles in [
        [7, np.random.SeedSequence(7), np.random.RandomState(7), np.random.default_rng(7)],
        [None, False],
    ]:
        np.random.seed(1)
        random.seed(1)
        for shuffle in shuffles:
            epochs(pool, 2, shuffle=shuffle)
        print(*(found == before for found, before in zip((np.random.random(), random.random()), expected)))
""",
        tmp_path,
    )

    assert quiet("True True\nFalse True\n") == ended
