"""Models of transformers, of a few tiny layers each, cut by hand into four blocks."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.packages import load
from tests.zoo.row import Data, Row, images

transformers = load("transformers")

WORDS, LENGTH, SAMPLES = 60, 12, 4
_row = partial(Row, family="transformers", refusal="torch.fx cannot trace its forward")


def _tokens() -> Data:
    words = torch.randint(WORDS, (SAMPLES, LENGTH))
    mask = torch.ones(SAMPLES, LENGTH, dtype=torch.long)
    mask[:, LENGTH - 2 :] = 0
    return {"input_ids": words, "labels": words, "attention_mask": mask}


def _plain_tokens() -> Data:
    words = torch.randint(WORDS, (SAMPLES, LENGTH))
    return {"input_ids": words, "labels": words}


def _sentences() -> Data:
    return {**_tokens(), "labels": torch.randint(3, (SAMPLES,))}


def _pictures() -> Data:
    data = images(32)()
    return {"pixel_values": data["inputs"], "labels": data["targets"]}


def _own_loss(model: nn.Module, data: Data) -> Tensor:
    """The loss that the model computes from its labels, out of its dict of outputs."""
    return model(**data).loss


def _outer_loss(model: nn.Module, data: Data) -> Tensor:
    """The same, computed outside from the logits."""
    logits = model(input_ids=data["input_ids"]).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), data["labels"][:, 1:].flatten())


def _made(kind: str, configuration: str, **options: Any) -> Any:
    def build() -> nn.Module:
        chosen = getattr(transformers, configuration)(**options)
        # Loops over experts: their grouped products know no double precision.
        chosen._experts_implementation = "eager"
        return getattr(transformers, kind)(chosen)

    return build


def _layers(prefix: str, layers: int = 8) -> tuple[str, ...]:
    return tuple(f"{prefix}.{layers * part // 4}" for part in range(1, 4))


_WIDE = {"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 64}
_DEEP = {"num_hidden_layers": 8, "num_attention_heads": 2, "max_position_embeddings": 16}
_ENCODER = {**_WIDE, **_DEEP}
_DECODER = {**_ENCODER, "num_key_value_heads": 1, "tie_word_embeddings": True, "use_cache": False}

ROWS = [
    _row(
        "GPT-2",
        build=_made(
            "GPT2LMHeadModel",
            "GPT2Config",
            vocab_size=WORDS,
            n_positions=16,
            n_embd=32,
            n_layer=8,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        ),
        data=_tokens,
        loss=_own_loss,
        cuts=_layers("h"),
        note="tied embeddings, keyword inputs, dict of outputs with the loss",
    ),
    _row(
        "GPT-2, loss outside",
        build=_made(
            "GPT2LMHeadModel",
            "GPT2Config",
            vocab_size=WORDS,
            n_positions=16,
            n_embd=32,
            n_layer=6,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        ),
        data=_plain_tokens,
        loss=_outer_loss,
        cuts=_layers("transformer.h", 6),
        note="tied embeddings, dict of outputs, caches for generation",
    ),
    _row(
        "BERT, classification",
        build=_made("BertForSequenceClassification", "BertConfig", num_labels=3, **_ENCODER),
        data=_sentences,
        loss=_own_loss,
        cuts=_layers("layer"),
        note="keyword inputs, mask, dict of outputs with the loss",
    ),
    _row(
        "BERT, masked words",
        build=_made("BertForMaskedLM", "BertConfig", **_ENCODER),
        data=_tokens,
        loss=_own_loss,
        cuts=_layers("layer"),
        note="tied embeddings",
    ),
    _row(
        "DistilBERT",
        build=_made(
            "DistilBertForMaskedLM",
            "DistilBertConfig",
            vocab_size=WORDS,
            max_position_embeddings=16,
            dim=32,
            hidden_dim=64,
            n_layers=8,
            n_heads=2,
        ),
        data=_tokens,
        loss=_own_loss,
        cuts=_layers("layer"),
        note="tied embeddings",
    ),
    _row(
        "Llama",
        build=_made("LlamaForCausalLM", "LlamaConfig", **_DECODER),
        data=_tokens,
        loss=_own_loss,
        cuts=_layers("layers"),
        note="rotary positions shared by all layers, tied embeddings",
    ),
    _row(
        "Qwen 2",
        build=_made("Qwen2ForCausalLM", "Qwen2Config", **_DECODER),
        data=_tokens,
        loss=_own_loss,
        cuts=_layers("layers"),
        note="tied embeddings",
    ),
    _row(
        "Mixtral",
        build=_made("MixtralForCausalLM", "MixtralConfig", num_local_experts=2, **_DECODER),
        data=_tokens,
        loss=_own_loss,
        cuts=_layers("layers"),
        note="experts chosen by the data",
    ),
    _row(
        "T5",
        build=_made(
            "T5ForConditionalGeneration",
            "T5Config",
            vocab_size=WORDS,
            d_model=32,
            d_ff=64,
            d_kv=16,
            num_layers=4,
            num_heads=2,
            decoder_start_token_id=0,
        ),
        data=_tokens,
        loss=_own_loss,
        cuts=("encoder.block.2", "decoder.block.0", "decoder.block.2"),
        note="encoder and decoder, position biases shared by layers, embeddings used three times",
    ),
    _row(
        "ViT",
        build=_made(
            "ViTForImageClassification",
            "ViTConfig",
            image_size=32,
            patch_size=8,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=8,
            num_attention_heads=2,
            num_labels=10,
        ),
        data=_pictures,
        loss=_own_loss,
        cuts=_layers("layers"),
        note="keyword inputs, dict of outputs with the loss",
    ),
]
