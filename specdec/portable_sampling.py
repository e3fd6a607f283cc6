"""How a target is sampled, as it is sent: options by transformers' names, and processors by registered ones."""

from typing import Any

from attrs import asdict, fields

from specdec.errors import OptionError, PluginError
from specdec.options import Sampling, Span
from specdec.plugins import load_processor, processor_spec

Processors = tuple[tuple[str, dict[str, Any]], ...]


def pack_sampling(sampling: Sampling) -> tuple[dict[str, Any], Processors]:
    """Give the options that are not the default, and the processors by name and options.

    Raises:
        OptionError: a processor has no name that the server would know.
    """
    values = {
        one.name: getattr(sampling, one.name) for one in fields(Sampling) if one.name not in ("processors", "span")
    }
    options = {name: value for name, value in values.items() if value != getattr(_DEFAULT, name)}
    if sampling.span is not None:
        options["span"] = asdict(sampling.span)
    specs = [processor_spec(processor) for processor in sampling.processors]
    if None in specs:
        raise OptionError(
            f"expected processors that the target's side can make too, got {sampling.processors[specs.index(None)]!r}; "
            f"register it on both sides with the hook register_processors, and make it with load_processor"
        )
    return options, tuple(spec for spec in specs if spec is not None)


def unpack_sampling(options: dict[str, Any], processors: Processors) -> Sampling:
    """Make what `pack_sampling` was given.

    Raises:
        OptionError: an option is not known or has a value that means nothing, or a processor cannot be made.
        PluginError: no such processor is registered.
    """
    values = dict(options)
    if unknown := values.keys() - {one.name for one in fields(Sampling)} | values.keys() & {"processors"}:
        raise OptionError(f"expected options of Sampling, got {min(unknown)!r}")
    if strange := [name for name, _ in processors if ":" in name]:
        raise OptionError(f"expected names of processors, got {strange[0]!r}")
    try:
        if "span" in values:
            span = dict(values["span"])
            values["span"] = Span(span["prompt_length"], span["max_length"], tuple(span["eos_token_id"]))
        made = tuple(load_processor(name, **chosen) for name, chosen in processors)
        return Sampling(**values, processors=made)
    except (OptionError, PluginError):
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise OptionError(f"expected options of Sampling that mean something, got {options}: {error}") from error
    except Exception as error:  # a processor's factory may raise anything
        names = ", ".join(name for name, _ in processors) or "none"
        raise OptionError(
            f"expected options and processors that the target's side can make, got the processors {names}: "
            f"{type(error).__name__}"
        ) from error


_DEFAULT = Sampling()
