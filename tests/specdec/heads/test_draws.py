import torch

from specdec.heads import keyed_generator


def test_a_key_always_draws_the_same_and_another_key_something_else() -> None:
    keys = [(seed, index, epoch) for seed in (0, 2**31) for index in (0, 1, 10**6) for epoch in (0, 1)]
    draws = [tuple(torch.rand(4, generator=keyed_generator(*key)).tolist()) for key in keys]
    assert draws == [tuple(torch.rand(4, generator=keyed_generator(*key)).tolist()) for key in keys]
    assert len(set(draws)) == len(keys)
