"""Why an architecture lacks what most have, from its source: shown beside what the checks found."""

from __future__ import annotations

LATENT = (
    "latent attention: a key is put together from two projections, of which one part is shared by all heads; with a "
    "cache, v is projected again at all positions in every pass"
)
STREAMS = "its residual stream is several streams wide"
CODEBOOKS = (
    "an example is a row of ids for each codebook, [batch, codebooks, pos]; its logits stand one codebook after another"
)
RECURRENT = "it has no attention"
SHARED = "its later layers use the keys and values of an earlier one, and have no projections of their own"
DRAFTS = "a drafter: its keys and values are another model's, given with the input; its layers have queries of their own alone"
NO_BLOCKS = "it has no block modules: attentions, norms and MLPs stand in parallel lists, and a layer is one of each"
SPARSE = "its attention is computed in chunks or on a selection of tokens, without one softmax over all keys"

NOTES: dict[str, str] = {
    **dict.fromkeys(
        ("axk1", "axk2", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots3_note"), LATENT
    ),
    **dict.fromkeys(
        ("dots3_note_text", "glm4_moe_lite", "glm_moe_dsa", "kimi_linear", "minicpm3", "sarvam_mla", "youtu"), LATENT
    ),
    **dict.fromkeys(("gemma4", "gemma4_text"), SHARED),
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), DRAFTS),
    **dict.fromkeys(("deepseek_v4", "hy_v4", "qwen4_exp", "qwen4_exp_text"), STREAMS),
    **dict.fromkeys(("musicgen", "musicgen_melody"), CODEBOOKS),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "xlstm", "FNetForMaskedLM"), RECURRENT),
    **dict.fromkeys(("xlm", "XLMWithLMHeadModel", "FlaubertWithLMHeadModel"), NO_BLOCKS),
    **dict.fromkeys(("reformer", "ReformerForMaskedLM", "LongformerForMaskedLM", "YosoForMaskedLM"), SPARSE),
    "MraForMaskedLM": SPARSE,
    "gemma3n_text": f"{STREAMS}, mixed by predictions and corrections around every block",
    "beam": "a branch is added as α·x + β·a with factors that depend on depth; the first has α = 0",
    "doge": "the stream is multiplied by learned vectors: mid = α ⊙ x + a",
    "dory": "a normed copy takes the stream's place, which then moves towards each branch: h + λ ⊙ (a − h)",
    "minimax": "a normed copy takes the stream's place before each branch is added, with factors on both",
    "zaya": "learned scales and biases on both the stream and the branch",
    "longcat_flash": f"five branches in a block (two attentions, two MLPs, experts); {LATENT}",
    "gpt_neox_japanese": "the last layer adds a bias parameter outside any module",
    "inkling2_text": "at the boundaries of groups of layers a block hands on its branches alone, without its input",
    "inkling2_loop_text": "at the boundaries of groups of layers a block hands on its branches alone, without its input",
    "rwkv": "the first block norms its input before it adds anything to it; it has no attention",
    "xmod": "an adapter for each language changes the MLP's output and adds to it before the sum",
    "XmodForMaskedLM": "an adapter for each language changes the MLP's output and adds to it before the sum",
    "jetmoe": "its heads are experts: no one layer makes all queries or reads all heads",
    "cpmant": "it masks the pattern after the softmax, before it mixes values",
    "xlnet": "its projections are parameters, not layers, and meet in einsum",
    "IBertForMaskedLM": "its layers compute on integers and hand on scales beside the tensors",
    "MobileBertForMaskedLM": "a block holds several MLPs, each with its own norm, in a bottleneck of another width",
    "SqueezeBertForMaskedLM": "its stream is [batch, d_model, pos]",
    "ConvBertForMaskedLM": "half of its heads are convolutions, joined with attention's before the projection",
    "DebertaForMaskedLM": "one projection makes q, k and v without bias; biases of q and v are added as parameters",
    "FunnelForMaskedLM": "it pools positions between blocks, and attends from pooled to unpooled ones",
    "mpt": "its position bias counts back from the last key, so a row's scores shift together when keys are added",
    "moss_transcribe_diarize": "it counts padding as positions; only differences of positions matter to attention",
    "PixtralVisionModel": "all images of a batch are patches of one sequence",
}
