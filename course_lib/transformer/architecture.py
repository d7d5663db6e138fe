"""What a Transformer is made of, in one place."""

from dataclasses import dataclass

from course_lib.positions import SCHEMES
from course_lib.sizes import require_sizes


@dataclass(frozen=True)
class Architecture:
    """The sizes and choices that encoder, decoder and language model share.

    norm: "pre" normalises what goes into a sub-layer (GPT-2; Xiong et al. 2020), "post" what comes out of the residual
    connection (Vaswani et al. 2017). dropout: of each sub-layer's output and of the embeddings (there, section 5.4).
    Raises ValueError for sizes and names that make no model.
    """

    d_model: int = 128
    n_heads: int = 4
    d_ff: int = 512
    n_layers: int = 3
    positions: str = "rotary"
    norm: str = "pre"
    dropout: float = 0.0
    max_length: int = 64

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
        if self.norm not in ("pre", "post"):
            raise ValueError(f"norm {self.norm!r}: expected 'pre' or 'post'")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: expected 0 or more, and below 1")
