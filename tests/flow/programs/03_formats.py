"""Own format over the standard ones."""

import tempfile
import numpy as np
from batchup.flow import Batch, action


class Signals(Batch):
    components = ("x",)

    @action
    def load(self, src, fmt="raw"):
        if fmt == "raw":
            self.x = np.fromfile(src, dtype="f4")[self.indices]
            return self
        return super().load(src, fmt)


path = tempfile.mkdtemp()
np.arange(6, dtype="f4").tofile(path + "/in.raw")
Signals(np.arange(4)).load(path + "/in.raw").dump(path + "/out.csv", "csv", index_label="id")
print(open(path + "/out.csv").read())
