"""The vision tower of MedSigLIP, So400m/14 at 448 px, by its sizes: nothing is loaded."""

from dermtune.config import ModelConfig, Pooling

SIDE, PATCH, WIDTH, MLP, LAYERS, HEADS = 448, 14, 1152, 4304, 27, 16


def so400m(pooling: Pooling = "mean", side: int = SIDE) -> ModelConfig:
    """Its config, for fresh weights."""
    vision = {
        "image_size": side,
        "patch_size": PATCH,
        "hidden_size": WIDTH,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    return ModelConfig(architecture="siglip", settings={"vision_config": vision}, pooling=pooling)
