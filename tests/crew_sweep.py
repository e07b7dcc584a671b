"""The tiny sweep with a model that several processes can train together."""

from tests.tiny_sweep import RECIPE

SIGLIP = RECIPE.replace('architecture="resnet"', 'architecture="siglip"').replace(
    '{"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}',
    '{"vision_config": {"image_size": 16, "patch_size": 8, "hidden_size": 16, "intermediate_size": 32, '
    '"num_hidden_layers": 1, "num_attention_heads": 2}}',
)
"""The tiny recipe, which has batch normalisation, with a Siglip that has none."""

TOGETHER = ("--processes-per-trial", "2", "--cpus-per-trial", "2", "--seeds", "1")
"""One trial at a time, on both of two cores."""
