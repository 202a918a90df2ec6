"""Hugging Face's Trainer as an arm: it trains on the bench's batches, one after the other."""

import tempfile

import torch
import transformers
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.numpy import method


class Network(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        hidden = [nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, classes))
        self.layers(torch.zeros(1, *shape))

    def forward(self, inputs, labels=None):
        outputs = self.layers(inputs)
        return {"loss": None if labels is None else cross_entropy(outputs, labels), "logits": outputs}


class Batches:
    """What the bench gives out, as a loader of one epoch. It is not shuffled, and must not be asked ahead."""

    def __init__(self, task, batch_size):
        self.steps, self.passing = task.total_steps(batch_size), task.batches(batch_size)

    def __len__(self):
        return self.steps

    def __iter__(self):
        for _, inputs, labels in self.passing:
            yield {"inputs": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}


class Trainer(transformers.Trainer):
    def __init__(self, task, batch_size, **more):
        super().__init__(**more)
        self.task, self.batches = task, Batches(task, batch_size)

    def get_train_dataloader(self):
        # Not what `accelerate` would make of it: that fetches a batch before the step on the last one.
        return self.batches

    def training_step(self, *given):
        self.task.loss = super().training_step(*given)
        return self.task.loss


@method(lr=0.001, batch_size=32)
def train(task, lr, batch_size):
    torch.set_num_threads(task.threads)
    transformers.set_seed(task.seed)
    model = Network(task.shape, task.classes)
    task.parameters = sum(values.numel() for values in model.parameters())

    @torch.no_grad()
    def predict(inputs):
        model.eval()
        outputs = model(torch.tensor(inputs))["logits"]
        model.train()
        return outputs

    task.predict = predict
    with tempfile.TemporaryDirectory() as folder:
        silent = {"logging_strategy": "no", "save_strategy": "no", "report_to": [], "disable_tqdm": True}
        how = transformers.TrainingArguments(folder, num_train_epochs=1, learning_rate=lr, use_cpu=True, **silent)
        trainer = Trainer(task, batch_size, model=model, args=how)
        trainer.train()
        # The last look at the model comes behind the last step.
        assert next(trainer.batches.passing, None) is None


train.versions.update(torch=torch.__version__, transformers=transformers.__version__)

if __name__ == "__main__":
    train()
