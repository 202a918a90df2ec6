"""Lightning as an arm: `fit` over the bench's batches, and a callback that tells the loss."""

import lightning
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.numpy import method


class Network(lightning.LightningModule):
    def __init__(self, shape, classes, lr):
        super().__init__()
        hidden = [nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
        self.layers, self.lr = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, classes)), lr
        self.layers(torch.zeros(1, *shape))

    def training_step(self, batch):
        inputs, labels = batch
        return cross_entropy(self.layers(inputs), labels)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


class Batches:
    """What the bench gives out, as a loader of one epoch. With a length it is not asked ahead of a step."""

    def __init__(self, task, batch_size):
        self.steps, self.passing = task.total_steps(batch_size), task.batches(batch_size)

    def __len__(self):
        return self.steps

    def __iter__(self):
        for _, inputs, labels in self.passing:
            yield torch.from_numpy(inputs), torch.from_numpy(labels)


class TellsLoss(lightning.Callback):
    def __init__(self, task):
        self.task = task

    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        self.task.loss = outputs["loss"].detach()


@method(lr=0.001, batch_size=32)
def train(task, lr, batch_size):
    torch.set_num_threads(task.threads)
    lightning.seed_everything(task.seed)
    model = Network(task.shape, task.classes, lr)
    task.parameters = sum(values.numel() for values in model.parameters())

    @torch.no_grad()
    def predict(inputs):
        model.eval()
        outputs = model.layers(torch.tensor(inputs))
        model.train()
        return outputs

    task.predict = predict
    batches = Batches(task, batch_size)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", callbacks=[TellsLoss(task)], **silent)
    trainer.fit(model, batches)
    # The last look at the model comes behind the last step.
    assert next(batches.passing, None) is None


train.versions.update(torch=torch.__version__, lightning=lightning.__version__)

if __name__ == "__main__":
    train()
