"""A convolutional network in PyTorch, on images of any size."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.numpy import method


def network(shape, classes):
    channels, layers = shape[0], []
    for width in (8, 16, 32):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    model = nn.Sequential(*layers[:-1], nn.Flatten(), nn.LazyLinear(classes))
    model(torch.zeros(1, *shape))
    return model


@method(lr=0.05, momentum=0.9, batch_size=32)
def train(task, lr, momentum, batch_size):
    torch.manual_seed(task.seed)
    torch.set_num_threads(task.threads)
    model = network(task.shape, task.classes)
    task.parameters = sum(values.numel() for values in model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)

    @torch.no_grad()
    def predict(inputs):
        model.eval()
        outputs = model(torch.tensor(inputs))
        model.train()
        return outputs

    task.predict = predict
    task.save = lambda path: torch.save(model.state_dict(), path)

    def keep(path):
        torch.save([model.state_dict(), optimizer.state_dict(), torch.get_rng_state()], path)

    def restore(path):
        of_model, of_optimizer, generator = torch.load(path)
        model.load_state_dict(of_model)
        optimizer.load_state_dict(of_optimizer)
        torch.set_rng_state(generator)

    task.keep, task.restore = keep, restore
    for ids, inputs, labels in task.batches(batch_size):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - task.progress)
        loss = cross_entropy(model(torch.from_numpy(inputs)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        task.loss = loss.detach()  # a number only where an evaluation is due


train.versions["torch"] = torch.__version__

if __name__ == "__main__":
    train()
