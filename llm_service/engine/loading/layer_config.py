"""Reads what a model's configuration states about each layer.

Some configurations state a number once, some as a list with an entry for each layer (Gemma 3n), and
some override it for single layers (`per_layer_config` of transformers, Gemma 4). Reading such a
number from the whole configuration raises an error, or gives a list instead of a number.
"""

from typing import Any

from transformers import PreTrainedConfig


def per_layer(config: PreTrainedConfig, name: str) -> list[Any]:
    """The value `name` of each layer of the text model; None where it is not stated."""
    text = config.get_text_config()
    layers = text.per_layer_config if getattr(text, "num_hidden_layers", None) else [text]
    values = [getattr(layer, name, None) for layer in layers]
    return [
        (value[i] if i < len(value) else None) if isinstance(value, list | tuple) else value
        for i, value in enumerate(values)
    ]


def largest(config: PreTrainedConfig, name: str, otherwise: int) -> int:
    """The number `name` of the text model, the largest one if layers differ."""
    return max(filter(_is_count, per_layer(config, name)), default=otherwise)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0
