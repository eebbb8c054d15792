"""Many files, read asynchronously."""

import pathlib, tempfile
from batchup.flow import Batch, Dataset, FilesIndex, action, any_action_failed, inbatch_parallel


class Texts(Batch):
    @action
    @inbatch_parallel(init="where", post="gather", target="async")
    async def read(self, ix, path):
        return pathlib.Path(path).read_text()

    def where(self):
        return [[ix, self.index.get_fullpath(ix)] for ix in self.indices]

    def gather(self, texts):
        self._data = None if any_action_failed(texts) else texts
        return self


folder = pathlib.Path(tempfile.mkdtemp())
for i in range(5):
    (folder / f"{i}.txt").write_text("text %d" % i)
print(Dataset(FilesIndex(path=f"{folder}/*.txt", no_ext=True), Texts).p.read().next_batch(2).data)
