"""What a Transformer is made of, in one place."""

from dataclasses import KW_ONLY, dataclass
from typing import Self

from course_lib.positions import SCHEMES
from course_lib.sizes import require_sizes

CHOICES = {
    "norm": ("pre", "post"),
    "normalisation": ("layer", "rms"),
    "activation": ("relu", "gelu", "relu2"),
    "init": ("pytorch", "gpt2", "zero_outputs"),
}


@dataclass(frozen=True)
class Architecture:
    """The sizes and choices that encoder, decoder and language model share.

    norm: "pre" normalises what goes into a sub-layer (GPT-2; Xiong et al. 2020), "post" what comes out of the residual
    connection (Vaswani et al. 2017). normalisation: "layer" (Ba et al. 2016) or "rms", by the root mean square alone
    (Zhang and Sennrich 2019). activation: of the feed-forward network: "relu", "gelu" (Hendrycks and Gimpel 2016) or
    "relu2", max(0, x)² (So et al. 2021). bias: whether projections have one. qk_norm: queries and keys are normalised,
    too (after Henry et al. 2020). dropout: of each sub-layer's output and of the embeddings (Vaswani et al. 2017, 5.4);
    shared_dropout: with one mask for all places of a sequence (`SharedDropout`).
    init: how weights begin, "pytorch", "gpt2" or "zero_outputs" (`initialise`). max_length: most tokens seen at once.
    Of a language model only: tied: the logits are products with the embeddings themselves (Press and Wolf 2017);
    token_shift: each embedding gets a learned multiple, number by number, of the one before (after Peng et al. 2023).
    Raises ValueError for sizes and names that make no model.
    """

    d_model: int = 128
    n_heads: int = 4
    d_ff: int = 512
    n_layers: int = 3
    _: KW_ONLY
    positions: str = "rotary"
    norm: str = "pre"
    normalisation: str = "layer"
    activation: str = "relu"
    bias: bool = True
    qk_norm: bool = False
    dropout: float = 0.0
    shared_dropout: bool = False
    init: str = "pytorch"
    max_length: int = 64
    tied: bool = False
    token_shift: bool = False

    @classmethod
    def textbook(cls, **sizes) -> Self:
        """As in GPT-2 (Radford et al. 2019): learned positions, layer normalisation, GELU (there by its tanh form),
        tied; d_ff = 4 d_model."""
        choices = {"positions": "learned", "activation": "gelu", "init": "gpt2", "tied": True}
        return cls(**choices | _four_times(sizes))

    @classmethod
    def modern(cls, **sizes) -> Self:
        """Changes that became common later, most of them together in modded-nanogpt (Jordan et al. 2024): rotary
        positions, RMS normalisation, of queries and keys too, squared ReLU, no biases, sub-layers that begin by adding
        nothing; and token shift (after Peng et al. 2023). d_ff = 4 d_model."""
        choices = {"positions": "rotary", "normalisation": "rms", "activation": "relu2", "bias": False, "qk_norm": True}
        return cls(**choices | {"init": "zero_outputs", "token_shift": True} | _four_times(sizes))

    def __post_init__(self):
        require_sizes(d_model=self.d_model, n_heads=self.n_heads, d_ff=self.d_ff, n_layers=self.n_layers)
        require_sizes(max_length=self.max_length)
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model is {self.d_model} and n_heads {self.n_heads}: expected a d_model that n_heads divides"
            )
        if self.positions not in SCHEMES:
            raise ValueError(f"positions {self.positions!r}: expected one of {', '.join(SCHEMES)}")
        d_position = {"sinusoidal": self.d_model, "rotary": self.d_model // self.n_heads}.get(self.positions, 2)
        if d_position % 2:
            raise ValueError(
                f"positions {self.positions!r} need sine and cosine in pairs, and have {d_position} numbers: expected "
                "an even d_model (sinusoidal) or d_model / n_heads (rotary)"
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r}: expected {' or '.join(map(repr, known))}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: expected 0 or more, and below 1")


def _four_times(sizes: dict) -> dict:
    """The usual width of the feed-forward network, unless one is given."""
    return {"d_ff": 4 * sizes.get("d_model", Architecture.d_model)} | sizes
