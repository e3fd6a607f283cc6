"""Keys, values and features of a batch's sequences, by position."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from specdec import upload
from specdec.heads import RotaryTable, TargetParts, attend, drafting_copy, pack_chains
from specdec.target import SlotCache, SlotMapping, TreePass
from specdec_eagle.model import EagleHead


class EagleCache:
    """What a head has read.

    The pair of feature i and token i + 1 has column i. Nodes are written after the root's pair and
    overwritten by the next tree. Where the target has not told the feature of a token, while it is out of reach, the
    output of the pair before it stands for that; of a sequence's first token there is no such pair, and it counts as
    zero.
    """

    def __init__(self, model: EagleHead, parts: TargetParts) -> None:
        """Use a copy of the layer's weights as they are now."""
        self._model, self._layer, self._device = model, drafting_copy(model.split_layer), parts.device
        self._embed = getattr(model, "embed_tokens", parts.embed)
        self._rotary = RotaryTable(model.rotary, model.dtype, parts.device)
        self.open(0)

    def open(self, size: int) -> None:
        """Forget all, and make room for a batch of this size."""
        config, like = self._model.config, {"dtype": self._model.dtype, "device": self._device}
        shape = (config.num_key_value_heads, config.head_dim)
        self._cache = SlotCache([shape, shape], **like)
        self._features = torch.zeros(size, 1, config.hidden_size, **like)
        self._known = [0] * size
        """Of each sequence, bit n: whether the feature of token n is the target's own."""
        self._settled = [0] * size
        """How many pairs of each sequence have been read with features that still hold."""

    def learn(self, features: Float[Tensor, "B K E"], starts: Sequence[int], lengths: Sequence[int]) -> None:
        """Take in the target's features of `lengths` tokens of each sequence, from `starts` on."""
        self._reserve(max(map(sum, zip(starts, lengths, strict=True))))
        for sequence, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            if length:
                self._features[sequence, start : start + length] = features[sequence, :length]
                self._known[sequence] |= ((1 << length) - 1) << start
                self._settled[sequence] = min(self._settled[sequence], start)

    def cut(self, lengths: Sequence[int]) -> None:
        """Forget all tokens of each sequence after this many, and so the pairs that end in them."""
        self._known = [known & ((1 << length) - 1) for known, length in zip(self._known, lengths, strict=True)]
        self._settled = [min(pairs, max(length - 1, 0)) for pairs, length in zip(self._settled, lengths, strict=True)]

    def follow(self, tokens: Sequence[Sequence[int]], sequences: Sequence[int]) -> Float[Tensor, "R 1 E"]:
        """Read the pairs of decided tokens that are new, up to the root's, and give the output of that.

        A feature that was predicted is known only when the pair before it has been read: then it takes several passes.
        """
        ends = [max(len(row) - 1, 1) for row in tokens]  # without a pair, zero and the only token stand for one
        starts = [min(self._settled[sequence], end - 1) for sequence, end in zip(sequences, ends, strict=True)]
        last = self._features.new_empty(len(ends), 1, self._features.shape[-1])
        rows = list(range(len(ends)))
        while rows:
            stops = [min(self._next_unknown(sequences[row], starts[row]), ends[row]) for row in rows]
            part = [tokens[row] for row in rows], [sequences[row] for row in rows], [starts[row] for row in rows]
            last[upload(self._device, torch.tensor(rows))[0]] = self._read_chains(*part, stops)
            for row, stop in zip(rows, stops, strict=True):
                starts[row] = stop
            rows = [row for row in rows if starts[row] < ends[row]]
        for sequence, tokens_of in zip(sequences, tokens, strict=True):
            self._settled[sequence] = len(tokens_of) - 1
        return last

    def read(
        self, tokens: Int[Tensor, "R M"], features: Float[Tensor, "R M E"], tree: TreePass, sequences: Sequence[int]
    ) -> Float[Tensor, "R M E"]:
        """Read pairs that stand after `tree.decided` others, and give the features that they predict."""
        tree, (tokens,) = tree.on(self._device), upload(self._device, tokens.clamp(min=0))
        inputs, residual = self._model.fuse(self._embed(tokens).to(self._model.dtype), features)
        queries, own = self._layer.project(inputs, self._rotary(tree.positions, tree.end))
        self._cache.reserve(len(self._known), tree.end)
        self._cache.begin(SlotMapping(sequences, tree.columns, tree.end, tree.starts))
        keys_values = self._cache.update(*own, 0)
        return self._layer.finish(residual, attend(queries, keys_values, tree.mask(self._model.dtype)))

    def _next_unknown(self, sequence: int, start: int) -> int:
        """Find the first column after `start` whose feature is not the target's own."""
        unknown = ~self._known[sequence] >> (start + 1)
        return start + (unknown & -unknown).bit_length()

    def _read_chains(
        self,
        tokens: Sequence[Sequence[int]],
        sequences: Sequence[int],
        starts: Sequence[int],
        stops: Sequence[int],
    ) -> Float[Tensor, "R 1 E"]:
        """Read each sequence's pairs from `starts` to `stops`; the last outputs stand for features not known."""
        size = max(stop - start for start, stop in zip(starts, stops, strict=True))
        self._reserve(max(starts) + size + 1)
        rows = zip(tokens, starts, stops, strict=True)
        packed = pack_chains([row[start + 1 : stop + 1] or row[-1:] for row, start, stop in rows])
        numbers = torch.tensor([starts, stops, sequences, range(len(starts))])
        tree = TreePass(starts, packed.depths, packed.ancestors)
        first, end, index, row = upload(self._device, numbers)[0]
        features = self._features[index[:, None], first[:, None] + torch.arange(size, device=self._device)]
        outputs = self.read(packed.tokens, features, tree, sequences)
        last = outputs[row, end - first - 1]
        for row, (sequence, stop) in enumerate(zip(sequences, stops, strict=True)):
            if not self._known[sequence] >> stop & 1:
                self._features[sequence, stop] = last[row]
        return last[:, None]

    def _reserve(self, columns: int) -> None:
        missing = columns - self._features.shape[1]
        if missing > 0:
            missing = max(missing, min(self._features.shape[1], 1024))
            self._features = pad(self._features, (0, 0, 0, missing))
