"""The Transformer family from one set of blocks."""

from course_lib.transformer.architecture import Architecture
from course_lib.transformer.block import Block, FeedForward, Residual, Stack, initialise, zero_outputs
from course_lib.transformer.encoder_decoder import EncoderDecoder, GivenSource
from course_lib.transformer.language_model import TransformerLM

__all__ = [
    "Architecture",
    "Block",
    "EncoderDecoder",
    "FeedForward",
    "GivenSource",
    "Residual",
    "Stack",
    "TransformerLM",
    "initialise",
    "zero_outputs",
]
