"""What a client says of a new text."""

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
    """Make the message that opens a session, under a name of its own.

    Raises:
        OptionError: the server has no such encoder, or a processor cannot be sent.
        PromptError: it is larger than the server's messages may be.
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
