"""What client and server of a split target say to each other, and the two of them, without lines, clocks or threads."""

from specdec.split.client import Client
from specdec.split.limits import Limits
from specdec.split.messages import Message, Opened, Refused
from specdec.split.record import Connection
from specdec.split.server import Server

__all__ = ["Client", "Connection", "Limits", "Message", "Opened", "Refused", "Server"]
