"""A target that is reached as if it were elsewhere."""

from specdec.errors import OptionError
from specdec.interfaces import Drafter, Verifier
from specdec.remote import Host, Remote
from specdec.split import Server
from specdec.target import Target

LOCAL = "local:"
"""The address of a server in this process, which has a thread of its own."""


def reach(address: str, target: Target, drafter: Drafter) -> Verifier:
    """Serve a target, with what the drafter has run beside it, and reach it by an address.

    Raises:
        OptionError: the address is not of this process, or the target's rule cannot be served.
    """
    if address != LOCAL:
        raise OptionError(f"expected --remote {LOCAL}, a server in this process; got {address!r}")
    host = Host(Server.of(target, [drafter]))
    remote = Remote(host.connect, target.tokenizer)
    remote.generation_config = target.generation_config
    return remote
