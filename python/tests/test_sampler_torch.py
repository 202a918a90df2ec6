"""Samplers under loaders of PyTorch: with workers, over ranks, in a training that is stopped and goes on."""

import os
import sys
import tempfile
import unittest

from palimpsest import order
from palimpsest.sampler import BatchSampler, Sampler

try:
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    from torch.utils.data import BatchSampler as TorchBatchSampler
except ImportError:
    torch = None

N, SEED = 50, order.integer_seed(3)
#: Numbers of workers, each with persistent ones or without.
LOADERS = [(0, False), (2, False), (2, True)]


def epoch(number, n=N):
    return [int(k) for k in order.epoch(SEED, number, n)]


def loader(over, workers=0, persistent=False, **more):
    data = TensorDataset(torch.arange(over.examples))
    how = {"prefetch_factor": 4} if workers else {}
    return DataLoader(data, num_workers=workers, persistent_workers=persistent, **how, **more)


def batches(loaded):
    return [batch.tolist() for (batch,) in loaded]


@unittest.skipIf(torch is None, "PyTorch is not installed")
class Loaders(unittest.TestCase):
    def test_each_pass_is_the_next_epoch_of_the_order(self):
        for workers, persistent in LOADERS:
            with self.subTest(workers=workers, persistent=persistent):
                sampler = BatchSampler(N, SEED, 4)
                loaded = loader(sampler, workers, persistent, batch_sampler=sampler)
                for number in range(3):
                    self.assertEqual(len(loaded), 13)
                    got = batches(loaded)
                    self.assertEqual([len(batch) for batch in got], [4] * 12 + [2])
                    self.assertEqual(sum(got, []), epoch(number))

    def test_a_sampler_of_ids_serves_loaders_that_make_the_batches(self):
        for workers, persistent in LOADERS:
            for drop_last in (False, True):
                sampler = Sampler(N, SEED)
                loaded = loader(sampler, workers, persistent, sampler=sampler, batch_size=4, drop_last=drop_last)
                whole = 48 if drop_last else 50
                for number in range(2):
                    self.assertEqual(sum(batches(sampler.consuming(loaded)), []), epoch(number)[:whole])
        sampler = Sampler(N, SEED)
        loaded = loader(sampler, batch_sampler=TorchBatchSampler(sampler, 4, False))
        self.assertEqual(sum(batches(sampler.consuming(loaded)), []), epoch(0))
        loaded = loader(sampler, sampler=sampler, batch_size=None)
        self.assertEqual(batches(sampler.consuming(loaded)), epoch(1))

    def test_a_state_at_any_step_is_of_what_was_consumed(self):
        for workers, persistent in LOADERS:
            first = BatchSampler(N, SEED, 4)
            loaded = loader(first, workers, persistent, batch_sampler=first)
            for stop in (1, 11, 13):
                with self.subTest(workers=workers, persistent=persistent, stop=stop):
                    number, begun = first.epoch, []
                    for (batch,) in first.consuming(loaded):
                        begun += batch.tolist()
                        if len(begun) == min(4 * stop, N):
                            state = first.state_dict()
                            break
                    self.assertEqual((state["epoch"], state["position"]), (number, len(begun)))
                    second = BatchSampler(N, SEED, 4)
                    second.load_state_dict(state)
                    again = loader(second, workers, persistent, batch_sampler=second)
                    self.assertEqual(begun + sum(batches(second.consuming(again)), []), epoch(number))
                    self.assertEqual(sum(batches(second.consuming(again)), []), epoch(number + 1))
                    # The loader that was left, workers and all, goes on too, and behind its end with the next epoch.
                    rest = sum(batches(first.consuming(loaded)), [])
                    self.assertEqual(rest, epoch(number)[len(begun) :] or epoch(number + 1))

    def test_a_state_survives_torch_save(self):
        sampler = BatchSampler(N, SEED, 4)
        with tempfile.TemporaryDirectory() as folder:
            torch.save(sampler.state_dict(), f"{folder}/state")
            self.assertEqual(torch.load(f"{folder}/state", weights_only=True), sampler.state_dict())


def train(sampler, loaded, epochs, ranks=1, start=None, stop=None):
    """A model of one weight, the ids of each step as told, and what to go on with at step `stop`."""
    values = torch.sin(torch.arange(sampler.examples, dtype=torch.float64))
    layer = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.constant_(layer.weight, 0.1)
    model = torch.nn.parallel.DistributedDataParallel(layer) if ranks > 1 else layer
    optimizer, told = torch.optim.SGD(layer.parameters(), lr=0.05), []
    if start is not None:
        layer.load_state_dict(start[0])
        sampler.load_state_dict(start[1])
    while sampler.epoch < epochs:
        for (batch,) in sampler.consuming(loaded):
            wrong = model(torch.ones(len(batch), 1, dtype=torch.float64))[:, 0] - values[batch]
            # The mean over ranks is taken of what each has summed.
            (wrong.square().sum() * ranks / sampler.step_size).backward()
            if sampler.step_ends:
                optimizer.step()
                optimizer.zero_grad()
                told.append(sampler.step_ids)
                if len(told) == stop:
                    return layer.weight.item(), told, (layer.state_dict(), sampler.state_dict())
    return layer.weight.item(), told, None


def one_rank(rank, ranks, folder, n):
    """In a process of its own: what it was given, gathered over all, and the weight it comes to."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=ranks)
    sampler = BatchSampler(n, SEED, 3, rank, ranks, accumulate=2)
    loaded = loader(sampler, 2, True, batch_sampler=sampler)
    given = batches(sampler.consuming(loaded))
    everybody = [None] * ranks
    torch.distributed.all_gather_object(everybody, given)
    sampler.set_epoch(0)
    weight, told, _ = train(sampler, loaded, 2, ranks)
    if rank == 0:
        torch.save({"given": everybody, "weight": weight, "told": told}, f"{folder}/result")
    torch.distributed.destroy_process_group()


@unittest.skipIf(torch is None, "PyTorch is not installed")
class Trainings(unittest.TestCase):
    def test_a_training_that_is_stopped_at_any_step_comes_to_the_same_bits(self):
        def new():
            sampler = BatchSampler(N, SEED, 4, accumulate=3)
            return sampler, loader(sampler, 2, batch_sampler=sampler)

        whole, told, _ = train(*new(), epochs=2)
        self.assertEqual([len(ids) for ids in told], [12, 12, 12, 12, 2] * 2)
        self.assertEqual(sum(told, []), epoch(0) + epoch(1))
        for stop in (2, 5):
            _, begun, state = train(*new(), epochs=2, stop=stop)
            weight, rest, _ = train(*new(), epochs=2, start=state)
            self.assertEqual((weight, begun + rest), (whole, told))

    @unittest.skipIf(sys.platform == "win32", "gloo over a file meets elsewhere")
    def test_two_ranks_take_the_steps_of_one(self):
        import torch.multiprocessing

        n = 53
        alone = BatchSampler(n, SEED, 6, accumulate=2)
        whole, steps, _ = train(alone, loader(alone, batch_sampler=alone), epochs=2)
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(one_rank, (2, folder, n), nprocs=2)
            result = torch.load(f"{folder}/result", weights_only=True)
        together = sum((a + b for a, b in zip(*result["given"])), [])
        self.assertEqual(together, epoch(0, n))
        self.assertEqual(result["told"], steps)
        self.assertAlmostEqual(result["weight"], whole, delta=1e-14)


if __name__ == "__main__":
    unittest.main()
