"""What a head keeps of each row: keys and values of pairs, and features, both by position."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from specdec.drafters.borrowed import Borrowed
from specdec.target import SlotCache, SlotMapping, TreePass
from specdec_eagle.layer import attend, causal
from specdec_eagle.model import EagleHead


class Rows:
    """The rows of a batch.

    The pair of feature i and token i + 1 stands in column i. Nodes are written behind the root's pair and
    overwritten by the next tree. What the target has not told of a token, for it is out of reach, is what the pair
    before gave; of a row's first token there is no such pair, and it counts as zero.
    """

    def __init__(self, model: EagleHead, parts: Borrowed, count: int) -> None:
        self.model, self.parts, self.count = model, parts, count
        shape = (model.config.num_key_value_heads, model.config.head_dim)
        self._cache = SlotCache([shape, shape], model.dtype, parts.device)
        self._features = torch.zeros(count, 1, model.config.hidden_size, dtype=model.dtype, device=parts.device)
        self._known = torch.zeros(count, 1, dtype=torch.bool)  # which features are the target's own
        self._settled = torch.zeros(count, dtype=torch.int64)  # how many pairs of each row have been read

    def learn(self, features: Float[Tensor, "B K E"], starts: Int[Tensor, " B"], lengths: Int[Tensor, " B"]) -> None:
        """Take in the target's features of `lengths` tokens from each row's `starts` on."""
        row, place = (torch.arange(features.shape[1]) < lengths[:, None]).nonzero(as_tuple=True)
        columns = starts[row] + place
        self._reserve(int(columns.max()) + 1)
        self._features[row, columns] = features[row, place].to(self._features)
        self._known[row, columns] = True
        self._settled = torch.where(lengths > 0, torch.minimum(self._settled, starts), self._settled)

    def follow(
        self, tokens: Int[Tensor, "R T"], lengths: Int[Tensor, " R"], rows: Int[Tensor, " R"]
    ) -> Float[Tensor, "R 1 E"]:
        """Read the pairs of decided tokens that are new, up to the root's, and give what comes of that.

        A feature that was predicted is known only when the pair before has been read: then it takes several passes.
        """
        ends = (lengths - 1).clamp(min=1)  # a row of one token has no pair: zero and that token stand for it
        starts, left = torch.minimum(self._settled[rows], ends - 1), torch.arange(len(rows))
        last = self._features.new_empty(len(rows), 1, self._features.shape[-1])
        while len(left):
            stops = self._reach(rows[left], starts[left], ends[left])
            given = self._read_chain(tokens[left], lengths[left], rows[left], starts[left], stops)
            last[left] = given[torch.arange(len(left)), stops - starts[left] - 1][:, None]
            starts[left] = stops
            left = left[stops < ends[left]]
        self._settled[rows] = lengths - 1
        return last

    def read(
        self,
        tokens: Int[Tensor, "R M"],
        features: Float[Tensor, "R M E"],
        tree: TreePass,
        rows: Int[Tensor, " R"],
    ) -> Float[Tensor, "R M E"]:
        """Read pairs that stand behind `tree.lengths` others, and give the features that they predict."""
        embedding = getattr(self.model, "embed_tokens", self.parts.embed)
        embedded = embedding(self._to(tokens.clamp(min=0))).to(self.model.dtype)
        heads, residual = self.model.enter(embedded, features, self._to(tree.positions))
        self._cache.reserve(self.count, tree.end)
        self._cache.begin(SlotMapping(rows.tolist(), tree.columns, tree.end))
        keys, values = self._cache.update(heads.keys, heads.values, 0)
        mask = self._to(tree.mask(self.model.dtype))
        return self.model.leave(residual, attend(heads.queries, keys, values, mask))

    def _reach(self, rows: Int[Tensor, " R"], starts: Int[Tensor, " R"], ends: Int[Tensor, " R"]) -> Int[Tensor, " R"]:
        """Say up to where each row can be read in one pass: to the next feature that is not known."""
        columns = torch.arange(self._known.shape[1])
        unknown = ~self._known[rows] & (columns > starts[:, None])
        first = torch.where(unknown, columns, self._known.shape[1]).min(1).values
        return torch.minimum(first, ends)

    def _read_chain(
        self,
        tokens: Int[Tensor, "R T"],
        lengths: Int[Tensor, " R"],
        rows: Int[Tensor, " R"],
        starts: Int[Tensor, " R"],
        stops: Int[Tensor, " R"],
    ) -> Float[Tensor, "R M E"]:
        size = int((stops - starts).max())
        steps = torch.arange(size).expand(len(rows), -1)
        columns = starts[:, None] + steps
        self._reserve(int(columns.max()) + 2)
        ids = tokens.gather(1, torch.minimum(columns + 1, lengths[:, None] - 1))
        features = self._features[rows[:, None], columns]
        given = self.read(ids, features, TreePass(starts, steps, causal(size, len(rows))), rows)
        predicted = (columns < stops[:, None]) & ~self._known[rows[:, None], columns + 1]
        row, place = predicted.nonzero(as_tuple=True)
        self._features[rows[row], columns[row, place] + 1] = given[row, place]
        return given

    def _reserve(self, columns: int) -> None:
        missing = columns - self._known.shape[1]
        if missing > 0:
            missing = max(missing, min(self._known.shape[1], 1024))
            self._features = pad(self._features, (0, 0, 0, missing))
            self._known = pad(self._known, (0, missing))

    def _to(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.parts.device, non_blocking=True)
