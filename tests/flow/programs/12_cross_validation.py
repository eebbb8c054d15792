"""Files that are read asynchronously, skipped batches, cross-validation, batches of another size, and processes."""

import pathlib
import tempfile

import numpy as np

from batchup.flow import (
    B,
    Batch,
    Dataset,
    FilesIndex,
    SkipBatchException,
    V,
    action,
    any_action_failed,
    inbatch_parallel,
)


class Texts(Batch):
    components = "numbers", "squares"

    def where(self, **kwargs):
        return [[self.index.get_fullpath(each)] for each in self.indices]

    @action
    @inbatch_parallel(init="where", post="gather", target="async")
    async def read(self, path):
        return float(pathlib.Path(path).read_text())

    def gather(self, results, **kwargs):
        if any_action_failed(results):
            raise OSError("unread files")
        self.numbers = np.array(results)
        return self

    @action
    @inbatch_parallel(init="numbers", post="_assemble", target="mpc", dst="squares")
    def square(self, number):
        return number**2

    @action
    def skip_if_large(self, limit):
        if self.numbers.max() > limit:
            raise SkipBatchException
        return self


if __name__ == "__main__":
    folder = pathlib.Path(tempfile.mkdtemp())
    for number in range(12):
        (folder / f"{number:02}.txt").write_text(str(number))
    dataset = Dataset(FilesIndex(path=str(folder / "*.txt"), no_ext=True, sort=True), Texts)
    dataset.cv_split(n_splits=3)
    for fold in range(3):
        test = (
            dataset.cv(fold).test.p.read().square().init_variable("sum", 0).update(V("sum"), V("sum") + B.squares.sum())
        )
        print(int(test.run(2).v("sum")), len(dataset.cv(fold).train), end=" ")
    print()

    pipeline = dataset.p.read().skip_if_large(8.5).rebatch(4).square()
    print([batch.squares.astype(int).tolist() for batch in pipeline.gen_batch(3, n_epochs=1)])
