"""How long a model's texts may be, so that each token is read alike whatever is read with it."""

from typing import Any

from attrs import frozen


@frozen
class Limit:
    """The most tokens of a text, None if there is no most, and what to do for longer ones."""

    tokens: int | None
    advice: str = ""


def position_limit(config: Any) -> Limit:
    """Work out the longest text from a model's configuration."""
    known = getattr(config, "max_position_embeddings", None)
    if known is None:
        return Limit(None)
    limits = [_rope_limit(rope, config, known) for rope in _ropes(config)]
    if getattr(config, "attn_temperature_tuning", False) and hasattr(config, "floor_scale"):
        advice = "its attention temperature changes there, by positions that it counts itself"
        limits.append(Limit(int(config.floor_scale) - 1, advice))
    if sparse := getattr(config, "keep_window_size", None):
        limits.append(Limit(int(sparse), "of longer ones it sees a part, chosen among all that is stored"))
    return min(limits or [Limit(known)], key=lambda limit: limit.tokens or known)


def _ropes(config: Any) -> list[dict[str, Any]]:
    """List the rotary parameters, which may differ between kinds of layers."""
    ropes = getattr(config, "rope_parameters", None) or {}
    return [ropes] if "rope_type" in ropes else [rope for rope in ropes.values() if isinstance(rope, dict)]


def _rope_limit(rope: dict[str, Any], config: Any, known: int) -> Limit:
    kind, factor = rope.get("rope_type"), rope.get("factor") or 1.0
    original = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
    if kind == "longrope" and original and rope["short_factor"] != rope["long_factor"]:
        advice = (
            "longer ones change the rotary factors (longrope) of all that is read with them; for long texts, load it "
            "with rope_parameters whose short_factor is their long_factor"
        )
        return Limit(min(int(original), known), advice)
    if kind == "dynamic":
        advice = (
            "longer ones change the rotary base (dynamic NTK) of all that is read with them; for long texts, load it "
            "with rope_parameters of another rope_type, such as yarn"
        )
        return Limit(known, advice)
    if kind in ("linear", "yarn"):
        return Limit(max(known, int(factor * (original or known))))
    return Limit(known)
