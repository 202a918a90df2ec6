"""Samplers under the Trainer of transformers and under Lightning: the order of each epoch, and after a resumption."""

import tempfile
import unittest

from palimpsest import order
from palimpsest.sampler import BatchSampler, Sampler
from test_examples import installed

N, SEED = 22, order.integer_seed(3)


def epochs(count):
    return [int(k) for number in range(count) for k in order.epoch(SEED, number, N)]


class Trainers(unittest.TestCase):
    @installed("numpy", "torch", "transformers", "accelerate")
    def test_the_trainer_goes_on_in_the_order(self):
        import torch
        import transformers

        seen = []

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(1, 1)

            def forward(self, ids, labels=None):
                seen.extend(ids.int().flatten().tolist())
                return {"loss": self.layer(ids).pow(2).mean()}

        class Trainer(transformers.Trainer):
            def _get_train_sampler(self, *_):
                return Sampler(N, SEED)

        data = [{"ids": torch.tensor([float(k)])} for k in range(N)]
        silent = {"logging_strategy": "no", "report_to": [], "disable_tqdm": True, "use_cpu": True}
        with tempfile.TemporaryDirectory() as folder:
            for accumulate, left in ((1, 2 * N - 12), (2, N)):
                how = transformers.TrainingArguments(
                    f"{folder}/{accumulate}", num_train_epochs=2, per_device_train_batch_size=4, save_steps=3,
                    gradient_accumulation_steps=accumulate, dataloader_num_workers=2, **silent,
                )
                for begin in (None, f"{folder}/{accumulate}/checkpoint-3"):
                    seen.clear()
                    trainer = Trainer(model=Network(), args=how, train_dataset=data)
                    trainer.train(resume_from_checkpoint=begin)
                    self.assertEqual(seen, epochs(2)[-left:] if begin else epochs(2))

    @installed("numpy", "torch", "lightning")
    def test_lightning_goes_on_in_the_order(self):
        import lightning
        import torch
        from lightning.pytorch.callbacks import ModelCheckpoint

        seen = []

        class Network(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(1, 1)

            def training_step(self, ids):
                seen.extend(ids.int().flatten().tolist())
                return self.layer(ids).pow(2).mean()

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.1)

        def fit(begin=None, counted=True, **more):
            seen.clear()
            sampler = BatchSampler(N, SEED, 4)
            loader = torch.utils.data.DataLoader(
                [torch.tensor([float(k)]) for k in range(N)],
                batch_sampler=sampler, num_workers=2, persistent_workers=True,
            )
            silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
            trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", **silent, **more)
            trainer.fit(
                Network(), sampler.consuming(loader) if counted else loader, ckpt_path=begin, weights_only=False,
            )
            return list(seen)

        self.assertEqual(fit(counted=False, enable_checkpointing=False), epochs(2))
        with tempfile.TemporaryDirectory() as folder:
            kept = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
            self.assertEqual(fit(callbacks=[kept]), epochs(2))
            for step, consumed in ((2, 8), (6, N), (8, N + 8)):
                rest = fit(f"{folder}/step={step}.ckpt", enable_checkpointing=False)
                self.assertEqual(rest, epochs(2)[consumed:])


if __name__ == "__main__":
    unittest.main()
