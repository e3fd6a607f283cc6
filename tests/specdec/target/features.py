"""What a target's features must be: those of one plain reading."""

import torch
from transformers import DynamicCache, PreTrainedModel

from specdec import Features, Needs


def plain_features(model: PreTrainedModel, tokens: list[int], needs: Needs) -> Features:
    """Read the tokens at once, with transformers alone."""
    cache = DynamicCache()
    with torch.no_grad():
        said = model(torch.tensor([tokens]), past_key_values=cache, output_hidden_states=True, use_cache=True)
    hidden = [said.hidden_states[index] for index in needs.hidden_states]
    keys = [cache.layers[index].keys.transpose(1, 2) for index in needs.keys_values]
    values = [cache.layers[index].values.transpose(1, 2) for index in needs.keys_values]
    parts = [torch.stack(part, 2) if part else None for part in (hidden, keys, values)]
    return Features(*parts) if needs.encoder is None else Features(encoded=needs.encoder.encode(Features(*parts)))


def assert_features(have: Features | None, row: int, start: int, count: int, want: Features) -> None:
    """Check that a row begins with the features of `count` tokens from `start` on."""
    for part in ("hidden", "keys", "values", "encoded"):
        mine, plain = getattr(have, part), getattr(want, part)
        assert (mine is None) == (plain is None)
        if mine is not None:
            torch.testing.assert_close(mine[row, :count], plain[0, start : start + count], rtol=0, atol=1e-6)
