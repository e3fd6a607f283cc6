"""Training masks, by which the head meets what it will meet when drafting.

An answer is cut into blocks; within one, the target's memory is visible up to the block's start only, as when the
tokens since then were drafted. Paper, section 3.2, and the code released with it.
"""

import torch
from attrs import frozen
from jaxtyping import Bool, Int
from torch import Tensor


@frozen(eq=False)
class Blocks:
    """The masks of a batch, [query, key], and the positions that stand for verified tokens."""

    verified: Bool[Tensor, "B T"]
    """Prompt, padding and block starts; all other tokens count as drafted."""
    own: Bool[Tensor, "B T T"]
    """Tokens seen by self-attention."""
    remembered: Bool[Tensor, "B T T"]
    """Tokens whose memory is seen by cross-attention."""


def blocks(
    response: Bool[Tensor, "B T"],
    lengths: Int[Tensor, " B"],
    staircase: Bool[Tensor, " B"],
    *,
    strict: bool = True,
) -> Blocks:
    """Cut responses at the multiples of each row's block length; 0 leaves each answer whole.

    With the staircase, a token sees only itself and the tokens of its own block in self-attention.
    The strict rule hides a block start's own memory from it, as when drafting: there the root has none yet. The
    released code shows it (`strict=False`); the paper's Fig. 2 is strict.
    """
    size = response.shape[1]
    at = torch.arange(size, device=response.device)
    starts = (at % lengths.clamp(min=1)[:, None] == 0) & (lengths > 0)[:, None]
    verified = ~response | starts
    last = _last_verified(verified, response, strict)
    causal = at[None, :] <= at[:, None]
    block = (at > last[..., None]) & causal | (at[None, :] == at[:, None])
    own = torch.where(staircase[:, None, None], block, causal)
    return Blocks(verified, own, at <= last[..., None])


def _last_verified(verified: Bool[Tensor, "B T"], response: Bool[Tensor, "B T"], strict: bool) -> Int[Tensor, "B T"]:
    """Find the last position whose memory each token sees.

    Before any is verified, it is -1 (nothing to see) by the strict rule, and 0 in the released code.
    """
    at = torch.arange(verified.shape[1], device=verified.device)
    last = torch.where(verified, at, -1).cummax(1).values
    if not strict:
        return last.clamp(min=0)
    earlier = torch.nn.functional.pad(last, (1, -1), value=-1)
    return torch.where(response, earlier, last)
