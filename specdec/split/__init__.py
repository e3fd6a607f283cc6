"""The protocol of a split target: its messages, client and server, without connections, clocks or threads."""

from specdec.split.client import Client
from specdec.split.limits import Limits
from specdec.split.messages import Message, Opened, Refused
from specdec.split.record import Connection
from specdec.split.server import Server

__all__ = ["Client", "Connection", "Limits", "Message", "Opened", "Refused", "Server"]
