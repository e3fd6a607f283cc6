"""A small language model of the same vocabulary."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from specdec.context import Context
from specdec.errors import PromptError
from specdec.grow import Frontier, grow_with_log
from specdec.interfaces import Drafter, TreePolicy
from specdec.nodes import rectangle
from specdec.target.engine import Engine, Slot
from specdec.target.loading import Name, load_model
from specdec.tree import Tree


class SmallModel(Drafter):
    """Drafts with any causal language model of transformers; its keys and values follow what is decided.

    What it read of a tree is kept as far as the target agreed, so that each decided token is read once.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Use a loaded model as it is.

        Raises:
            UnsupportedModel: its cache cannot be cut to a prefix, or its attention takes no mask.
        """
        self._engine = Engine(model)
        self.vocab_size = self._engine.vocab_size
        self._slots: list[Slot | None] = []
        self._tree: Tree | None = None
        self._read = torch.empty(0, 0, dtype=torch.int64)  # [B, C], the nodes read, in reading order

    @classmethod
    def from_pretrained(cls, name: Name, **options: Any) -> "SmallModel":
        """Load the model from a folder or the hub; `options` are those of `load_model`."""
        return cls(load_model(name, **options))

    def begin(self, context: Context) -> None:
        """Forget the last batch.

        Raises:
            PromptError: a row may grow longer than this model's positions.
        """
        longest, limit = int(context.limits.max()), self._engine.max_length
        if limit is not None and longest > limit:
            raise PromptError(f"expected rows within the draft model's {limit} positions, got a limit of {longest}")
        self.close()
        self._slots = [self._engine.open(int(length)) for length in context.lengths]

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        missing = self._catch_up(context)
        self._leave(context)
        self._read = torch.empty(len(self._slots), 0, dtype=torch.int64)

        def score(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
            self._read = frontier.read
            self._roots = tree.tokens[:, 0]
            if frontier.start == 0:
                return self._read_roots(frontier.tokens[:, 0], missing)
            return self._read_nodes(tree, frontier)

        self._tree, kept = grow_with_log(context, policy, score)
        return kept

    def close(self) -> None:
        self._engine.close(*[slot for slot in self._slots if slot is not None])
        self._slots, self._tree = [], None

    def _leave(self, context: Context) -> None:
        """Free the slots of rows that are done."""
        for row, done in enumerate(context.done.tolist()):
            slot = self._slots[row]
            if done and slot is not None:
                self._engine.close(slot)
                self._slots[row] = None

    def _catch_up(self, context: Context) -> list[list[int]]:
        """Keep what was read of the path that was decided; list what is still to be read before the root."""
        missing: list[list[int]] = []
        for row, slot in enumerate(self._slots):
            if slot is None:
                missing.append([])
                continue
            tokens = context.row(row)[:-1]
            if self._tree is not None:
                self._engine.keep(slot, self._followed(self._tree, row, tokens[slot.length :]))
            missing.append(tokens[slot.length :])
        return missing

    def _followed(self, tree: Tree, row: int, tokens: Sequence[int]) -> list[int]:
        """Columns of the nodes that these tokens, from the old root on, lead through."""
        columns = {node: column for column, node in enumerate(self._read[row].tolist()) if node >= 0}
        if not tokens or 0 not in columns:
            return []
        children, path, node = tree.children(row), [columns[0]], 0
        for token in tokens[1:]:
            node = next((child for child in children[node] if int(tree.tokens[row, child]) == token), 0)
            if node not in columns or node == 0:
                break
            path.append(columns[node])
        return path

    def _read_roots(self, roots: Int[Tensor, " B"], missing: list[list[int]]) -> Float[Tensor, "B 1 V"]:
        """Read what is missing and the root behind it in one pass; all but the root is kept."""
        chains = [[*tokens, int(root)] if root >= 0 else [] for tokens, root in zip(missing, roots, strict=True)]
        tokens = rectangle(chains)
        rows, size = tokens.shape
        depths, before = np.where(tokens < 0, 0, np.arange(size)), np.tri(size, dtype=bool)[None].repeat(rows, 0)
        logits = self._engine_read(*map(torch.from_numpy, (tokens, depths, before)))
        for slot, chain in zip(self._slots, chains, strict=True):
            if slot is not None and chain:
                self._engine.keep(slot, range(len(chain) - 1))
        last = [max(len(chain) - 1, 0) for chain in chains]
        return logits[range(rows), last][:, None]

    def _read_nodes(self, tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
        return self._engine_read(frontier.tokens, frontier.read_depths, frontier.visible)

    def _engine_read(self, tokens: Tensor, depths: Tensor, visible: Tensor) -> Float[Tensor, "B M V"]:
        """Read for the rows that still have slots, in the order of these."""
        rows = [row for row, slot in enumerate(self._slots) if slot is not None]
        rows.sort(key=lambda row: self._slot(row).index)
        complete = rows == list(range(len(self._slots)))
        if not complete:
            tokens, depths, visible = tokens[rows], depths[rows], visible[rows]
        roots = self._roots[rows, None]  # stand in for rows without a node at this level
        tokens = torch.where(tokens < 0, roots, tokens)
        said = self._engine.read([self._slot(row) for row in rows], tokens, depths, visible).logits
        if said is None:
            raise RuntimeError("a pass over a tree gives logits")
        if complete:
            return said
        logits = said.new_zeros(len(self._slots), *said.shape[1:])
        logits[rows] = said
        return logits

    def _slot(self, row: int) -> Slot:
        slot = self._slots[row]
        if slot is None:
            raise RuntimeError("only rows that take part are read")
        return slot
