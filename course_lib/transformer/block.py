"""One layer of a Transformer, and a stack of them: the same for encoder, decoder and language model."""

import math

from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention
from course_lib.cache import KeyValueCache
from course_lib.positions import Positions, positions
from course_lib.rms_norm import RMSNorm
from course_lib.transformer.architecture import Architecture


class SquaredReLU(nn.Module):
    """max(0, x)² (So et al. 2021)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu().square()


class SharedDropout(nn.Dropout):
    """Dropout with one mask for all places of a sequence, x (B, T, d): a coordinate is dropped from the whole of it
    (after Gal and Ghahramani 2016). A CPU draws random numbers slowly; these are T times fewer.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout1d(x.mT, self.p, self.training).mT


def dropout(architecture: Architecture) -> nn.Dropout:
    """The architecture's kind of dropout."""
    return (SharedDropout if architecture.shared_dropout else nn.Dropout)(architecture.dropout)


ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "relu2": SquaredReLU}
NORMALISATIONS = {"layer": nn.LayerNorm, "rms": RMSNorm}


class FeedForward(nn.Sequential):
    """W₂ f(W₁ x + b₁) + b₂, at each place alone (Vaswani et al. 2017, section 3.3, with f = ReLU)."""

    def __init__(self, d_model: int, d_ff: int, activation: str = "relu", bias: bool = True):
        super().__init__(nn.Linear(d_model, d_ff, bias), ACTIVATIONS[activation](), nn.Linear(d_ff, d_model, bias))


class Residual(nn.Module):
    """The connection around a sub-layer f: x + f(norm(x)) (pre-norm) or norm(x + f(x)) (post-norm)."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.pre = architecture.norm == "pre"
        self.norm = NORMALISATIONS[architecture.normalisation](architecture.d_model)
        self.dropout = dropout(architecture)

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
        a = architecture
        self.self_attention = MultiHeadAttention(a.d_model, a.n_heads, positions, a.bias, a.qk_norm)
        self.self_residual = Residual(architecture)
        if cross:
            self.cross_attention = MultiHeadAttention(a.d_model, a.n_heads, None, a.bias, a.qk_norm)
            self.cross_residual = Residual(architecture)
        self.feed_forward = FeedForward(a.d_model, a.d_ff, a.activation, a.bias)
        self.feed_forward_residual = Residual(architecture)

    def forward(
        self,
        x: Tensor,
        past: KeyValueCache | None = None,
        source: KeyValueCache | None = None,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, KeyValueCache]:
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


def initialise(model: nn.Module, init: str) -> None:
    """Set how the weights of a model begin, by the name in `Architecture.init`.

    "pytorch":      as PyTorch's layers begin: embeddings with variance 1, projections with 1 / (3 · inputs).
    "gpt2":         all matrices normal with standard deviation 0.02 (as in GPT-2's code), the last one of each
                    sub-layer divided by the root of how many add up (Radford et al. 2019, section 2.3); biases 0.
    "zero_outputs": as PyTorch's layers, then `zero_outputs`.
    """
    if init == "gpt2":
        last = {id(layer) for layer in _last_layers(model)}
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                scale = math.sqrt(len(last)) if id(module) in last else 1
                nn.init.normal_(module.weight, std=0.02 / scale)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    elif init == "zero_outputs":
        zero_outputs(model)


def zero_outputs(model: nn.Module) -> None:
    """Let every sub-layer of a model begin by adding nothing to the residual stream: its last matrix and bias
    become 0 (Zhang, Dauphin and Ma 2019 do so in residual networks)."""
    for last in _last_layers(model):
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)


def _last_layers(model: nn.Module) -> list[nn.Linear]:
    """The last projection of every sub-layer: what goes into the residual stream."""
    attentions = [module.output for module in model.modules() if isinstance(module, MultiHeadAttention)]
    return attentions + [module[-1] for module in model.modules() if isinstance(module, FeedForward)]


class Stack(nn.Module):
    """n_layers blocks on embeddings: an encoder as it is, a decoder with causal=True, with a source with cross=True.

    A pre-norm stack ends in one more normalisation: its residual stream was never normalised itself.
    """

    def __init__(self, architecture: Architecture, cross: bool = False):
        super().__init__()
        a = architecture
        self.architecture = a
        self.positions = positions(a.positions, a.d_model, a.n_heads, a.max_length)
        self.dropout = dropout(architecture)
        self.blocks = nn.ModuleList(Block(a, self.positions, cross) for _ in range(a.n_layers))
        self.norm = NORMALISATIONS[a.normalisation](a.d_model) if a.norm == "pre" else nn.Identity()

    def forward(
        self,
        x: Tensor,
        past: list[KeyValueCache] | None = None,
        sources: list[KeyValueCache] | None = None,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, list[KeyValueCache]]:
        """Embeddings (B, T, d_model) → the same shape, and the memory of each block.

        past:    what this returned for the tokens before x.  sources: what `look_at` made of an encoder's output.
        mask:    which of x's own places may be seen; source_mask: which of the source's (masks as in `attention`).
        """
        past = past or [None] * len(self.blocks)
        sources = sources or [None] * len(self.blocks)
        start = 0 if past[0] is None else len(past[0])
        x, memories = self.dropout(self.positions.embed(x, start)), []
        for block, before, source in zip(self.blocks, past, sources, strict=True):
            x, memory = block(x, before, source, mask, source_mask, causal)
            memories.append(memory)
        return self.norm(x), memories

    def extra_repr(self) -> str:  # the layers do not show it all, and a checkpoint must know its model
        return repr(self.architecture)

    def look_at(self, source: Tensor) -> list[KeyValueCache]:
        """The keys and values that each block's cross-attention makes of an encoder's output (B, S, d_model).

        Raises ValueError for a stack without cross-attention.
        """
        if not hasattr(self.blocks[0], "cross_attention"):
            raise ValueError("this stack has no cross-attention: make it with cross=True")
        return [block.cross_attention.remember(source) for block in self.blocks]
