"""Samplers as the iterables that they are; with loaders of PyTorch: test_sampler_torch.py."""

import unittest

from palimpsest import order
from palimpsest.sampler import BatchSampler, Sampler

SEED = order.integer_seed(3)


def epoch(number, n):
    return [int(k) for k in order.epoch(SEED, number, n)]


class Ahead:
    """A loader that asks its sampler for some batches more than it gives out."""

    def __init__(self, sampler, more=3):
        self.sampler, self.more = sampler, more

    def __iter__(self):
        asked = iter(self.sampler)
        waiting = [batch for _, batch in zip(range(self.more), asked)]
        while waiting:
            waiting += [batch for _, batch in zip(range(1), asked)]
            yield waiting.pop(0)


class Samplers(unittest.TestCase):
    def test_each_whole_pass_is_the_next_epoch(self):
        sampler = Sampler(10, SEED)
        for number in range(3):
            self.assertEqual(list(sampler), epoch(number, 10))
            self.assertEqual(len(sampler), 10)

    def test_a_look_moves_nothing(self):
        sampler = Sampler(10, SEED)
        self.assertEqual(next(iter(sampler)), epoch(0, 10)[0])
        counted = iter(sampler.consuming(sampler))
        self.assertEqual([next(counted) for _ in range(3)], epoch(0, 10)[:3])
        self.assertEqual(sampler.state_dict()["position"], 3)
        counted.close()
        # Nobody counts any more: whole passes are epochs again.
        self.assertEqual([list(sampler), list(sampler)], [epoch(0, 10)[3:], epoch(1, 10)])

    def test_a_state_is_of_what_was_consumed_whatever_was_asked_for(self):
        for stop in (1, 4, 7, 9, 10):
            first = Sampler(10, SEED, epoch=5)
            begun = []
            for one in first.consuming(Ahead(first)):
                begun.append(one)
                if len(begun) == stop:
                    state = first.state_dict()
                    break
            self.assertEqual((state["epoch"], state["position"]), (5, stop))
            second = Sampler(10, SEED)
            second.load_state_dict(state)
            self.assertEqual(begun + list(second), epoch(5, 10))
            self.assertEqual(list(second), epoch(6, 10))
            # The one that was left goes on likewise, and behind its last id with the next epoch.
            self.assertEqual(list(first.consuming(Ahead(first))), epoch(5, 10)[stop:] or epoch(6, 10))
            self.assertEqual((first.epoch, first.position), (6 + stop // 10, 0))

    def test_what_nobody_counted_is_no_state(self):
        sampler = Sampler(10, SEED)
        self.assertEqual(sampler.state_dict()["position"], 0)
        passing = iter(sampler)
        next(passing)
        with self.assertRaisesRegex(RuntimeError, "consuming"):
            sampler.state_dict()
        list(passing)
        # All were handed out, and nine were trained on: it is still that epoch.
        state = sampler.state_dict(consumed=9)
        self.assertEqual((state["epoch"], state["position"]), (0, 9))
        with self.assertRaisesRegex(ValueError, "consumed is 11 of 10"):
            sampler.state_dict(consumed=11)

    def test_an_epoch_that_is_announced_twice_is_not_begun_again(self):
        sampler = Sampler(10, SEED)
        sampler.load_state_dict({**sampler.state_dict(), "epoch": 2, "position": 4})
        sampler.set_epoch(2)
        self.assertEqual(list(sampler), epoch(2, 10)[4:])
        sampler.set_epoch(2)
        self.assertEqual(list(sampler), epoch(2, 10))
        sampler.set_epoch(7)
        self.assertEqual(list(sampler), epoch(7, 10))

    def test_a_loop_that_knows_the_length_goes_on_to_the_next_epoch(self):
        plain, counted = BatchSampler(10, SEED, 4), BatchSampler(10, SEED, 4)
        for sampler, loader in ((plain, plain), (counted, counted.consuming(Ahead(counted, more=9)))):
            for number in range(3):
                passing = iter(loader)
                self.assertEqual(sum((next(passing) for _ in range(len(sampler))), []), epoch(number, 10))
        state = counted.state_dict()
        self.assertEqual((state["epoch"], state["position"]), (2, 10))

    def test_a_state_at_the_end_of_an_epoch_is_of_that_epoch(self):
        sampler = BatchSampler(10, SEED, 4)
        sampler.load_state_dict({**sampler.state_dict(), "epoch": 2, "position": 10})
        sampler.set_epoch(2)
        self.assertEqual(list(sampler.consuming(sampler)), [])
        self.assertEqual(sampler.epoch, 3)

    def test_a_length_is_that_of_a_whole_epoch(self):
        sampler = BatchSampler(10, SEED, 3)
        sampler.load_state_dict({**sampler.state_dict(), "position": 3})
        lengths = {len(sampler) for _ in sampler.consuming(Ahead(sampler))}
        self.assertEqual((lengths, len(sampler.consuming(sampler)), len(Sampler(10, SEED))), ({4}, 4, 10))
        self.assertEqual(len(BatchSampler(10, SEED, 3, drop_last=True)), 3)

    def test_a_loader_over_another_sampler_is_found(self):
        sampler = BatchSampler(10, SEED, 5)
        with self.assertRaisesRegex(RuntimeError, "goes on behind id 10 of 10"):
            list(sampler.consuming([[]] * 3))
        with self.assertRaisesRegex(RuntimeError, "ended at id 5 of 10"):
            list(BatchSampler(10, SEED, 5).consuming([[]]))

    def test_a_state_of_another_order_or_none_is_refused(self):
        state = Sampler(10, SEED).state_dict()
        for other in (Sampler(11, SEED), Sampler(10, order.integer_seed(4))):
            with self.assertRaises(ValueError):
                other.load_state_dict(state)
        wrong = [{"position": 11}, {"position": -1}, {"position": True}, {"epoch": "0"}, {"epoch": 1 << 32}]
        for change in wrong:
            with self.assertRaisesRegex(ValueError, next(iter(change))):
                Sampler(10, SEED).load_state_dict({**state, **change})
        del state["position"]
        with self.assertRaisesRegex(ValueError, "position is None"):
            Sampler(10, SEED).load_state_dict(state)


class Batches(unittest.TestCase):
    def test_ranks_share_every_step_of_one_order(self):
        n, batch = 23, 3
        alone = list(BatchSampler(n, SEED, batch_size=6))
        ranks = [list(BatchSampler(n, SEED, batch, rank, 2)) for rank in range(2)]
        self.assertEqual([a + b for a, b in zip(*ranks)], alone)
        self.assertEqual(sum(alone, []), epoch(0, n))
        self.assertEqual({len(rank) for rank in ranks}, {4})

    def test_what_no_rank_gets_is_told(self):
        ranks = [BatchSampler(7, SEED, 1, rank, 3) for rank in range(3)]
        self.assertEqual([sampler.left_out for sampler in ranks], [1, 1, 1])
        self.assertEqual([len(list(sampler)) for sampler in ranks], [2, 2, 2])
        self.assertEqual(BatchSampler(7, SEED, 2, drop_last=True).left_out, 1)

    def test_no_rank_gets_nothing_after_going_on_with_another_number_of_them(self):
        state = {**BatchSampler(8, SEED, 1).state_dict(), "position": 4}
        for rank in range(3):
            sampler = BatchSampler(8, SEED, 1, rank, 3)
            sampler.load_state_dict(state)
            self.assertEqual(sampler.left_out, 1)
            self.assertEqual(list(sampler), [[epoch(0, 8)[4 + rank]]])

    def test_padding_repeats_the_first_ids_and_is_told(self):
        ranks = [BatchSampler(7, SEED, 2, rank, 2, pad=True) for rank in range(2)]
        self.assertEqual([sampler.padding for sampler in ranks], [1, 1])
        ids = epoch(0, 7)
        self.assertEqual([list(sampler) for sampler in ranks], [[ids[:2], ids[4:6]], [ids[2:4], [ids[6], ids[0]]]])
        self.assertEqual(list(BatchSampler(2, SEED, 5, pad=True)), [(epoch(0, 2) * 3)[:5]])
        self.assertEqual(BatchSampler(8, SEED, 2, pad=True).padding, 0)
        told = BatchSampler(7, SEED, 2, 1, 2, pad=True)
        steps = [(told.step_ids, told.step_size) for _ in told.consuming(told)]
        self.assertEqual(steps, [(ids[:4], 4), (ids[4:] + ids[:1], 4)])
        with self.assertRaisesRegex(ValueError, "drop_last and pad"):
            BatchSampler(7, SEED, 2, drop_last=True, pad=True)

    def test_steps_of_several_batches_end_together_and_are_told_whole(self):
        n, ids = 23, epoch(0, 23)
        seen = []
        for rank in range(2):
            sampler = BatchSampler(n, SEED, 2, rank, 2, accumulate=2)
            seen.append([
                (batch, sampler.step_ends, sampler.step_size, sampler.state_dict()["position"])
                for batch in sampler.consuming(Ahead(sampler))
            ])
        self.assertEqual([ends for _, ends, _, _ in seen[0]], [False, True, False, True, False, True])
        self.assertEqual([size for _, _, size, _ in seen[0]], [8, 8, 8, 8, 7, 7])
        # A state is one between steps: of the half of a step the gradient is not kept.
        self.assertEqual([position for _, _, _, position in seen[0]], [0, 8, 8, 16, 16, 23])
        self.assertEqual([one[1:] for one in seen[0]], [one[1:] for one in seen[1]])
        self.assertEqual(sum((a[0] + b[0] for a, b in zip(*seen)), []), ids)
        told = BatchSampler(n, SEED, 2, 1, 2, accumulate=2)
        steps = [told.step_ids for _ in told.consuming(told) if told.step_ends]
        self.assertEqual(steps, [ids[:8], ids[8:16], ids[16:]])

    def test_no_such_batches(self):
        for wrong in [{"batch_size": 0}, {"rank": 2, "ranks": 2}, {"rank": -1}, {"accumulate": 0}]:
            with self.assertRaisesRegex(ValueError, "no such batches"):
                BatchSampler(10, SEED, **{"batch_size": 1, **wrong})


if __name__ == "__main__":
    unittest.main()
