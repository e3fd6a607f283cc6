"""A target on a server: verifiers that use it, and continue without it, and the thread that runs the server."""

from specdec.remote.dialer import Dialer
from specdec.remote.failover import DraftOnly, Failover
from specdec.remote.host import Host
from specdec.remote.journal import Journal
from specdec.remote.link import Connect, Link
from specdec.remote.tenants import Admit, Tenants
from specdec.remote.verifier import Remote

__all__ = [
    "Admit",
    "Connect",
    "Dialer",
    "DraftOnly",
    "Failover",
    "Host",
    "Journal",
    "Link",
    "Remote",
    "Tenants",
]
