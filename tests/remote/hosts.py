"""Servers in this process, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from specdec import Drafter, Target
from specdec.remote import Host
from specdec.split import Server
from tests.toys import build


def toy(**options: Any) -> Target:
    return Target(build("llama", dtype=torch.float64, seed=1, initializer_range=0.3, **options))


@contextmanager
def hosting(target: Target, *drafters: Drafter, **options: Any) -> Iterator[Host]:
    host = Host(Server.of(target, drafters, **options))
    try:
        yield host
    finally:
        host.close()
