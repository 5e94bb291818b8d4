"""The part of a model with several modalities that reads text: its decoder and its head.

It is what the batched engine runs, fuses and quantizes. The rest, such as a vision encoder, stays
plain. Both share their modules with the whole model.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

# Models whose text, with features and positions from `engine.vision`, is computed by decoder and
# head alone. Tests compare each with transformers' `generate`.
BATCHED_FAMILIES = frozenset(
    {
        "idefics3",
        "internvl",
        "llava",
        "qwen2_5_vl",
        "qwen2_vl",
        "qwen3_vl",
        "smolvlm",
    }
)


class LanguagePart(PreTrainedModel, GenerationMixin):
    """Decoder and head as a model of its own, with the interface of one that reads only text."""

    base_model_prefix = "model"
    # Whether it does was asked when the decoder was made.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True
    whole: Any  # the model that it is a part of

    def __init__(self, whole: Any) -> None:
        decoder = whole.get_decoder()
        super().__init__(decoder.config)
        # Past nn.Module, which would count the whole model as a part of its part.
        self.__dict__["whole"] = whole
        self.model = decoder
        self.lm_head = whole.get_output_embeddings()
        self._supports_attention_backend = decoder._supports_attention_backend
        self.eval()  # type: ignore[no-untyped-call]

    def get_decoder(self) -> Any:
        return self.model

    def get_input_embeddings(self) -> nn.Module:
        embeddings: nn.Module = self.model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        head: nn.Module = self.lm_head
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head = new_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **arguments: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits of the last `logits_to_keep` tokens, or those that it numbers; 0: all."""
        output = self.model(input_ids=input_ids, **arguments)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return CausalLMOutputWithPast(
            logits=self.lm_head(output.last_hidden_state[:, kept]),
            past_key_values=output.past_key_values,
        )

    def take_over(self, encoder_dtype: torch.dtype | None) -> None:
        """Let the whole model do nothing but encode, in `encoder_dtype` if that is given.

        Else its head would keep the weights that `quantization` packs.
        """
        self.whole.set_output_embeddings(nn.Identity())
        if encoder_dtype is not None:
            for parameter in encoder_parameters(self.whole):
                parameter.data = parameter.data.to(encoder_dtype)


def is_batched_family(config: PreTrainedConfig) -> bool:
    return config.model_type in BATCHED_FAMILIES


def language_part(model: PreTrainedModel) -> PreTrainedModel:
    """Return `model` itself if it reads only text, or is of a family that is not batched."""
    return LanguagePart(model) if is_batched_family(model.config) else model


def language_modules(model: PreTrainedModel) -> Iterator[nn.Module]:
    """Yield the modules that read text: of decoder and head, or all if there are no others."""
    if model.config.get_text_config() is model.config:
        yield from model.modules()
        return
    decoder, head = _decoder_and_head(model)
    yield from decoder.modules()
    if head is not None:
        yield head


def encoder_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """Return the parameters that do not belong to decoder and head."""
    own = {id(p) for module in language_modules(model) for p in module.parameters(recurse=False)}
    return [parameter for parameter in model.parameters() if id(parameter) not in own]


def _decoder_and_head(model: Any) -> tuple[nn.Module, nn.Module | None]:
    return model.get_decoder(), model.get_output_embeddings()
