"""Training with torch: augmentation, the model in the config, prefetch, a bar, a profile, and an evaluation loop."""

import numpy as np
import torch

from batchup.flow import B, Batch, C, Dataset, I, P, Pipeline, R, V, action, apply_parallel


class Net:
    def __init__(self, config):
        torch.manual_seed(config["seed"])
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))
        self.optimizer = torch.optim.Adam(self.net.parameters(), config["lr"])

    def train(self, x, y):
        loss = torch.nn.functional.cross_entropy(self.net(torch.as_tensor(x)), torch.as_tensor(y))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self, x):
        with torch.no_grad():
            return self.net(torch.as_tensor(x)).argmax(1).numpy()


class Images(Batch):
    components = "images", "labels"

    @apply_parallel
    def roll(self, image, by, **kwargs):  # BatchFlow 0.10.1 gives it src and dst as well
        return np.roll(image, by, axis=1)

    @action
    def scale(self, low, high):
        self.images = ((self.images - low) / (high - low)).astype("float32")
        return self


rng = np.random.default_rng(3)
labels = np.arange(240) % 2
images = rng.normal(size=(240, 6, 6)) + 3 * labels[:, None, None] * (np.arange(6) < 3)[:, None]
dataset = Dataset(240, Images, preloaded=(images, labels))
dataset.split([0.8, 0.2])

prepare = Pipeline().scale(low=C("low"), high=C("high"))
augment = Pipeline().roll(src="images", dst="images", by=P(R("integers", 0, 6)), p=0.5)
train = augment + prepare + Pipeline().train_model("net", B.images, B.labels, save_to=V("losses", mode="a"))
train = (train << dataset.train) << {"low": -3, "high": 6, "model": {"lr": 0.02, "seed": 1}, "bs": 32}
train.init_variable("losses", [])
train.init_model("net", Net, "dynamic", config=C("model"))
train.run(C("bs"), shuffle=7, n_epochs=8, prefetch=4, notifier=True, profile=True)

test = (prepare + Pipeline().import_model("net", C("trained")).predict_model("net", B.images, save_to=B.guess)) << {
    "low": -3, "high": 6, "trained": train,
}  # fmt: skip
test = (test << dataset.test).init_variable("hits", []).update(V("hits", mode="e"), B.guess == B.labels)
for batch in test.gen_batch(20):
    assert batch.iteration == len(test.v("hits")) // 16
print(len(train.v("losses")), train.v("losses")[-1] < train.v("losses")[0], np.mean(test.v("hits")) > 0.8)
print(sorted(train.show_profile_info().index), train.profile_info["iter"].max(), I is not None)
