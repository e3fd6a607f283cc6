"""What can go wrong, as one tree of errors.

SpecdecError
├── InputError (ValueError)          what the caller gave cannot be used
│   ├── PromptError                  a prompt: empty, too long, ids outside the vocabulary
│   ├── OptionError                  an option: a negative temperature, a width of zero
│   ├── DataError                    a line of training data that cannot be used
│   └── TreeError                    a tree that no drafter may hand over
├── BatchReplaced                    the drafter or verifier was closed, or another stream began on it
├── PluginError                      the plugins do not fit together
│   ├── UnknownName (LookupError)    nothing is registered under that name
│   └── DuplicateName                two plugins register one name
├── ModelError                       a model cannot do what is asked of it
│   ├── UnsupportedModel             it does not read trees as it reads texts
│   ├── ModelChanged                 it was cast, moved or set up otherwise while in use
│   ├── VocabularyMismatch           drafter and target do not speak the same tokens
│   ├── WrongCheckpoint              a drafter's file is damaged, or made for another target
│   └── NonFiniteLogits              it said NaN or infinity
└── TransportError                   the other side cannot be reached, or not understood
    ├── AccessDenied                 the server rejects this client
    ├── ConnectionLost               the transport is broken, for good
    ├── TimedOut                     nothing came in time; the transport may still work
    └── ProtocolError                it sent what the protocol does not allow
"""

__all__ = [
    "AccessDenied",
    "BatchReplaced",
    "ConnectionLost",
    "DataError",
    "DuplicateName",
    "InputError",
    "ModelChanged",
    "ModelError",
    "NonFiniteLogits",
    "OptionError",
    "PluginError",
    "PromptError",
    "ProtocolError",
    "SpecdecError",
    "TimedOut",
    "TransportError",
    "TreeError",
    "UnknownName",
    "UnsupportedModel",
    "VocabularyMismatch",
    "WrongCheckpoint",
]


class SpecdecError(Exception):
    """Root of everything that specdec raises on purpose."""


class InputError(SpecdecError, ValueError):
    """Raised when the caller gave something that cannot be used; nothing was changed."""


class PromptError(InputError):
    """Raised when a prompt is empty, too long for the model, or outside its vocabulary."""


class OptionError(InputError):
    """Raised when an option has a value that means nothing."""


class DataError(InputError):
    """Raised when a file or a line of training data cannot be used."""


class TreeError(InputError):
    """Raised when a tree breaks its own invariants or does not fit the rows it is for."""


class BatchReplaced(SpecdecError):
    """Raised when a stream is continued whose drafter or verifier was closed or has begun another batch."""


class PluginError(SpecdecError):
    """Raised when plugins cannot be loaded together."""


class UnknownName(PluginError, LookupError):
    """Raised when nothing is registered under a name; the message lists what is."""


class DuplicateName(PluginError):
    """Raised when two plugins register the same name."""


class ModelError(SpecdecError):
    """Raised when a model cannot do what is asked of it."""


class UnsupportedModel(ModelError):
    """Raised when a model cannot verify trees; the message says what it does instead."""


class ModelChanged(ModelError):
    """Raised when a model was cast to another type, moved or given another attention after its target was made."""


class VocabularyMismatch(ModelError):
    """Raised when a drafter does not speak its target's tokens."""


class WrongCheckpoint(ModelError):
    """Raised when a drafter's file is damaged, is no file of that drafter, or was made for another target."""


class NonFiniteLogits(ModelError):
    """Raised when a model's logits hold NaN or positive infinity, or nothing finite at all."""


class TransportError(SpecdecError):
    """Raised when the other side cannot be reached, or not understood."""


class AccessDenied(TransportError):
    """Raised when a server rejects a client, as for a wrong token; trying again would not help."""


class ConnectionLost(TransportError):
    """Raised when a transport is broken: messages sent may or may not have arrived, and no more will."""


class ProtocolError(TransportError):
    """Raised when the other side sends what the protocol does not allow; the message had no effect."""


class TimedOut(TransportError):
    """Raised when no message came in time; the transport may still work."""
