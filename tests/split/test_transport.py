"""The transport of this process keeps its promises."""

from specdec.testing import check_transport
from specdec.transports import pipe


def test_a_pipe_is_a_transport() -> None:
    check_transport(pipe)
