"""A target on a server decides what it decides on this machine."""

from specdec import Target
from specdec.remote import Remote
from specdec.testing import check_verifier
from tests.remote.hosts import hosting, toy


def test_it_is_a_verifier() -> None:
    target = toy()
    with hosting(Target(target.model)) as host:
        check_verifier(lambda: Remote(host.connect), examples=10)
