"""The message that opens a session."""

from collections.abc import Sequence
from os import urandom

from specdec.errors import OptionError, PromptError
from specdec.features import Needs
from specdec.options import Sampling
from specdec.portable_sampling import pack_sampling
from specdec.split.messages import ID, Open, Welcome, encode, pack_tokens


def make_opening(
    prompt: Sequence[int], needs: Needs, sampling: Sampling, welcome: Welcome, codec: str, window: int | None
) -> Open:
    """Make the message that opens a session, with a random id.

    Raises:
        OptionError: the server does not have the encoder, or a logits processor cannot be sent.
        PromptError: the message exceeds the server's limit.
    """
    digest = "" if needs.encoder is None else needs.encoder.digest
    if needs.encoder is not None and digest not in welcome.encoders:
        raise OptionError(
            f"expected an encoder that the server has as well, as `specdec serve --drafter` loads it; "
            f"got {needs.encoder!r} with digest {digest or 'none'}"
        )
    options, processors = pack_sampling(sampling)
    read = needs.hidden_states, needs.keys_values, needs.only_last, digest
    opening = Open(urandom(ID), 0, pack_tokens(list(prompt)), options, processors, *read, codec, window)
    if (size := len(encode(opening))) > welcome.most_bytes:
        raise PromptError(
            f"expected a prompt and sampling that fit the server's messages of {welcome.most_bytes} bytes, "
            f"got {len(prompt)} tokens and {size} bytes"
        )
    return opening
