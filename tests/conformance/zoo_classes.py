"""Classes outside the causal-LM mapping: encoders, encoder-decoders, vision, multimodal, with their hand-set fields."""

from __future__ import annotations

from tests.conformance.zoo_overrides import CAUSAL_OVERRIDES, DECODER
from tests.conformance.zoo_sizes import Nested, Overrides


def _as_encoder(model_type: str) -> Overrides:
    """The causal model's fields, reading in both directions."""
    return {name: value for name, value in CAUSAL_OVERRIDES[model_type].items() if name not in DECODER}


IMAGE_ID = 3
"""The token in whose place an image's features are put."""
ROPE_3D: Overrides = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}}
QWEN_VISION: Overrides = {"hidden_size": 32, "embed_dim": 32, "out_hidden_size": 32, "num_position_embeddings": 16}
IMAGE: Overrides = {"image_token_id": IMAGE_ID}
IMAGE_INDEX: Overrides = {"image_token_index": IMAGE_ID}
QWEN_TOKENS: Overrides = {"image_token_id": IMAGE_ID, "video_token_id": 126, "vision_start_token_id": 127}

# fmt: off
ENCODERS: dict[str, Overrides] = {
    "AlbertForMaskedLM": {},
    "BertForMaskedLM": {},
    "BigBirdForMaskedLM": {"attention_type": "original_full"},
    "CamembertForMaskedLM": {},
    "ConvBertForMaskedLM": {},
    "Data2VecTextForMaskedLM": {},
    "DebertaForMaskedLM": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 8},
    "DebertaV2ForMaskedLM": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4},
    "DistilBertForMaskedLM": {},
    "ElectraForMaskedLM": {},
    "ErnieForMaskedLM": {},
    "EsmForMaskedLM": {"position_embedding_type": "rotary"},
    "EsmcForMaskedLM": {"num_key_value_heads": 4},
    "EuroBertForMaskedLM": {},
    "FlaubertWithLMHeadModel": {},
    "FNetForMaskedLM": {},
    "FunnelForMaskedLM": {"block_sizes": [1, 1], "num_decoder_layers": 1},
    "GteForMaskedLM": {},
    "IBertForMaskedLM": {},
    "JinaEmbeddingsV3ForMaskedLM": {},
    "LayoutLMForMaskedLM": {"max_2d_position_embeddings": 16},
    "LongformerForMaskedLM": {},
    "LukeForMaskedLM": {"entity_vocab_size": 16, "entity_emb_size": 8},
    "MegatronBertForMaskedLM": {},
    "MobileBertForMaskedLM": {"intra_bottleneck_size": 16, "num_feedforward_networks": 2},
    "ModernBertForMaskedLM": {},
    "MPNetForMaskedLM": {},
    "MraForMaskedLM": {},
    "NomicBertForMaskedLM": {},
    "NystromformerForMaskedLM": {},
    "ReformerForMaskedLM": _as_encoder("reformer"),
    "RemBertForMaskedLM": {},
    "RobertaForMaskedLM": {},
    "RobertaPreLayerNormForMaskedLM": {},
    "RoCBertForMaskedLM": _as_encoder("roc_bert"),
    "RoFormerForMaskedLM": {},
    "SqueezeBertForMaskedLM": {},
    "TapasForMaskedLM": {},
    "UltrabertForMaskedLM": {},
    "XLMWithLMHeadModel": {},
    "XLMRobertaForMaskedLM": {},
    "XLMRobertaXLForMaskedLM": {},
    "XmodForMaskedLM": _as_encoder("xmod"),
    "YosoForMaskedLM": {},
}

ENCODER_DECODERS: dict[str, Overrides] = {
    "BartForConditionalGeneration": {},
    "BigBirdPegasusForConditionalGeneration": {"attention_type": "original_full"},
    "BlenderbotForConditionalGeneration": {},
    "BlenderbotSmallForConditionalGeneration": {},
    "EncoderDecoderModel": {
        "encoder": Nested("bert"), "decoder": Nested("bert", DECODER | {"add_cross_attention": True}),
    },
    "LEDForConditionalGeneration": {"max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64},
    "LongT5ForConditionalGeneration": {},
    "M2M100ForConditionalGeneration": {},
    "MarianMTModel": {},
    "MBartForConditionalGeneration": {},
    "MT5ForConditionalGeneration": {},
    "MvpForConditionalGeneration": {},
    "NllbMoeForConditionalGeneration": {},
    "PegasusForConditionalGeneration": {},
    "PegasusXForConditionalGeneration": {},
    "PLBartForConditionalGeneration": {},
    "ProphetNetForConditionalGeneration": {},
    "SwitchTransformersForConditionalGeneration": {},
    "T5ForConditionalGeneration": {},
    "T5GemmaForConditionalGeneration": {},
    "UMT5ForConditionalGeneration": {},
    "WhisperForConditionalGeneration": {"max_source_positions": 8},
}

VISION: dict[str, Overrides] = {
    "AltCLIPModel": {},
    "BeitModel": {},
    "ChineseCLIPModel": {},
    "CLIPModel": {},
    "CLIPTextModel": {},
    "CLIPVisionModel": {},
    "Data2VecVisionModel": {},
    "DeiTModel": {},
    "Dinov2Model": {},
    "Dinov2WithRegistersModel": {},
    "DINOv3ViTModel": {},
    "IJepaModel": {},
    "MetaClip2Model": {},
    "PixtralVisionModel": {},
    "SiglipModel": {},
    "SiglipTextModel": {},
    "SiglipVisionModel": {},
    "ViTForImageClassification": {},
    "ViTModel": {},
    "ViTMSNModel": {},
    "YolosModel": {"image_size": [16, 16], "num_detection_tokens": 3},
}

MULTIMODAL: dict[str, Overrides] = {
    "Gemma3ForConditionalGeneration": IMAGE_INDEX | {"mm_tokens_per_image": 4},
    "Idefics3ForConditionalGeneration": IMAGE,
    "InternVLForConditionalGeneration": IMAGE | {"vision_config": {"image_size": [16, 16], "patch_size": [8, 8]}},
    "LlavaForConditionalGeneration": IMAGE_INDEX,
    "PaliGemmaForConditionalGeneration": IMAGE_INDEX,
    "Qwen2VLForConditionalGeneration": QWEN_TOKENS | {"text_config": ROPE_3D, "vision_config": QWEN_VISION},
    "Qwen2_5_VLForConditionalGeneration": QWEN_TOKENS | {"text_config": ROPE_3D, "vision_config": QWEN_VISION | {
        "fullatt_block_indexes": [1], "window_size": 16,
    }},
    "Qwen3VLForConditionalGeneration": QWEN_TOKENS | {"text_config": ROPE_3D, "vision_config": QWEN_VISION | {
        "deepstack_visual_indexes": [0],
    }},
}
# fmt: on
