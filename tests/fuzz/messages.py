"""Feeds server and client what a fuzzer makes up: `pip install atheris; python tests/fuzz/messages.py -runs=1000000`.

It is no test of the suite, for atheris has no wheels for every platform.
"""

import sys

import atheris

with atheris.instrument_imports(include=["specdec.split"]):
    from specdec.split.messages import read_from_client, read_from_server, seal

from specdec import Tree
from specdec.errors import ConnectionLost, ProtocolError
from specdec.split import Client
from specdec.split.text import RemoteText
from specdec.split.trees import unpack_tree
from tests.split.test_hostile import OPEN, PROMPT, Verify


def one(data: bytes) -> None:
    """Take bytes as a message of either side: nothing but the protocol's own errors may come out."""
    data = seal(data)
    try:
        message = read_from_client(data)
        if isinstance(message, Verify):
            unpack_tree(message, 64)
    except ProtocolError:
        pass
    client, text = Client(), RemoteText(OPEN, [*PROMPT])
    client.join(text)
    client.ask(text, Tree.root(PROMPT[-1]), 1.0)
    try:
        read_from_server(data)
        client.receive(data, 0.0)
    except (ProtocolError, ConnectionLost):
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
