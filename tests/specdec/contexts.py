"""Batches as a drafter meets them."""

from specdec import Context, Sampling, Step

GREEDY = Sampling()


def context_of(
    sequences: list[list[int]], room: int = 50, sampling: Sampling = GREEDY, done: tuple[int, ...] = ()
) -> Context:
    """Sequences that may gain `room` drafted tokens and one more, as after their prompts were read."""
    return Context(
        [list(tokens) for tokens in sequences],
        [len(tokens) + room + 1 for tokens in sequences],
        [number in done for number in range(len(sequences))],
        sampling.spread(len(sequences)),
        Step([tokens[1:] for tokens in sequences], [0] * len(sequences)),
    )
