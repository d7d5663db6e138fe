"""One layer of a Transformer, and a stack of them: the same for encoder, decoder and language model."""

from torch import Tensor, nn

from course_lib.attention import Memory, MultiHeadAttention
from course_lib.positions import Positions, positions
from course_lib.transformer.architecture import Architecture


class FeedForward(nn.Sequential):
    """W₂ max(0, W₁ x + b₁) + b₂, at each place alone (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__(nn.Linear(d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, d_model))


class Residual(nn.Module):
    """The connection around a sub-layer f: x + f(norm(x)) (pre-norm) or norm(x + f(x)) (post-norm)."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.pre = architecture.norm == "pre"
        self.norm = nn.LayerNorm(architecture.d_model)
        self.dropout = nn.Dropout(architecture.dropout)

    def before(self, x: Tensor) -> Tensor:
        """What goes into the sub-layer."""
        return self.norm(x) if self.pre else x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """What comes out of the connection, y = f(before(x))."""
        x = x + self.dropout(y)
        return x if self.pre else self.norm(x)


class Block(nn.Module):
    """Self-attention → cross-attention (in a decoder with a source) → feed-forward, each in a residual connection."""

    def __init__(self, architecture: Architecture, positions: Positions, cross: bool = False):
        super().__init__()
        d_model, n_heads = architecture.d_model, architecture.n_heads
        self.self_attention = MultiHeadAttention(d_model, n_heads, positions)
        self.self_residual = Residual(architecture)
        if cross:
            self.cross_attention = MultiHeadAttention(d_model, n_heads)
            self.cross_residual = Residual(architecture)
        self.feed_forward = FeedForward(d_model, architecture.d_ff)
        self.feed_forward_residual = Residual(architecture)

    def forward(
        self,
        x: Tensor,
        past: Memory | None = None,
        source: Memory | None = None,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, Memory]:
        """x (B, T, d_model) → the same shape, and what later tokens will look at: `past` with x added.

        Raises ValueError for a source without cross-attention, and for cross-attention without a source.
        """
        if (source is not None) != hasattr(self, "cross_attention"):
            raise ValueError(
                "cross-attention and a source go together: make the block with cross=True, or give no source"
            )
        h = self.self_residual.before(x)
        memory = self.self_attention.remember(h, past)
        x = self.self_residual.after(x, self.self_attention(h, memory, mask, causal))
        if source is not None:
            h = self.cross_residual.before(x)
            x = self.cross_residual.after(x, self.cross_attention(h, source, source_mask))
        h = self.feed_forward_residual.before(x)
        return self.feed_forward_residual.after(x, self.feed_forward(h)), memory


def zero_outputs(model: nn.Module) -> None:
    """Let every sub-layer of a model begin by adding nothing to the residual stream: its last matrix and bias
    become 0 (Zhang, Dauphin and Ma 2019 do so in residual networks)."""
    for module in model.modules():
        last = module.output if isinstance(module, MultiHeadAttention) else None
        last = module[-1] if isinstance(module, FeedForward) else last
        if last is not None:
            nn.init.zeros_(last.weight)
            if last.bias is not None:
                nn.init.zeros_(last.bias)


class Stack(nn.Module):
    """n_layers blocks on embeddings: an encoder as it is, a decoder with causal=True, with a source with cross=True.

    A pre-norm stack ends in one more normalisation: its residual stream was never normalised itself.
    """

    def __init__(self, architecture: Architecture, cross: bool = False):
        super().__init__()
        a = architecture
        self.positions = positions(a.positions, a.d_model, a.n_heads, a.max_length)
        self.dropout = nn.Dropout(a.dropout)
        self.blocks = nn.ModuleList(Block(a, self.positions, cross) for _ in range(a.n_layers))
        self.norm = nn.LayerNorm(a.d_model) if a.norm == "pre" else nn.Identity()

    def forward(
        self,
        x: Tensor,
        past: list[Memory] | None = None,
        sources: list[Memory] | None = None,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, list[Memory]]:
        """Embeddings (B, T, d_model) → the same shape, and the memory of each block.

        past:    what this returned for the tokens before x.  sources: what `look_at` made of an encoder's output.
        mask:    which of x's own places may be seen; source_mask: which of the source's (masks as in `attention`).
        """
        past = past or [None] * len(self.blocks)
        sources = sources or [None] * len(self.blocks)
        start = 0 if past[0] is None else past[0][0].shape[2]
        x, memories = self.dropout(self.positions.embed(x, start)), []
        for block, before, source in zip(self.blocks, past, sources, strict=True):
            x, memory = block(x, before, source, mask, source_mask, causal)
            memories.append(memory)
        return self.norm(x), memories

    def look_at(self, source: Tensor) -> list[Memory]:
        """The keys and values that each block's cross-attention makes of an encoder's output (B, S, d_model).

        Raises ValueError for a stack without cross-attention.
        """
        if not hasattr(self.blocks[0], "cross_attention"):
            raise ValueError("this stack has no cross-attention: make it with cross=True")
        return [block.cross_attention.remember(source) for block in self.blocks]
