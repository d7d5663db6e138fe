"""Attention, softmax(Q Kᵀ/√d_k) V: written out, through PyTorch's fused kernel, and in several heads.

A mask is boolean, True where a query may look at a key (as in `F.scaled_dot_product_attention`; the masks of
`torch.nn.MultiheadAttention` and `torch.nn.Transformer` say the opposite: True where it may not).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.cache import KeyValueCache
from course_lib.positions import Positions
from course_lib.rms_norm import RMSNorm
from course_lib.sizes import require_sizes


class MaskError(ValueError):
    """A mask that does not fit, or that leaves a query nothing to look at."""


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1) → output (…, T, d_v) and weights (…, T, S).

    query (…, T, d_k), key (…, S, d_k), value (…, S, d_v).
    mask:   True where a query may look, broadcast to (…, T, S).
    bias:   added to the scores before the softmax, broadcast to (…, T, S).
    causal: the queries are the last T of the S places, and none sees a place after its own.
    Raises ValueError for shapes that do not fit, MaskError for a row of the mask without a True (its softmax is 0/0).
    """
    allowed = _allowed(query, key, value, mask, causal)
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    weights = scores.softmax(-1)
    return weights @ value, weights


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """The output of `attention`, by PyTorch's kernel, which need not keep the weights (Dao et al. 2022). It is not used
    for training in bfloat16 on a CPU."""
    if causal and query.shape[-2:-1] == (1,):  # the last place sees them all
        causal = False
    if causal and mask is None and bias is None and query.shape[-2:-1] == key.shape[-2:-1]:
        _allowed(query, key, value, None, False)
        if query.dtype == torch.bfloat16 and query.device.type == "cpu" and torch.is_grad_enabled():
            return _causal_in_products(query, key, value)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)  # skips what no query may see
    allowed = _allowed(query, key, value, mask, causal)
    if bias is not None:
        bias = bias.to(query.dtype)
        allowed = bias if allowed is None else bias.masked_fill(~allowed, -math.inf)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)


def _causal_in_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`attention` under the causal mask, in three calls: in bfloat16 on a CPU, PyTorch's kernel takes two to four times
    as long forward and backward. The price: the weights are kept for the backward pass, and scores have 8 bits."""
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    query, key, value = (x.expand(*lead, -1, -1).reshape(-1, *x.shape[-2:]) for x in (query, key, value))
    later = torch.full((query.shape[-2], key.shape[-2]), -math.inf, dtype=query.dtype).triu(1)
    weights = torch.baddbmm(later, query, key.mT, alpha=1 / math.sqrt(query.shape[-1])).softmax(-1)
    return torch.bmm(weights, value).view(*lead, query.shape[-2], value.shape[-1])


def causal_mask(n_queries: int, n_keys: int | None = None, device: torch.device | str | None = None) -> Tensor:
    """True where a query may look, (T, S): at its own place and those before. The queries are the last T of S places.

    n_keys: as many as queries, unless told. Raises ValueError for more queries than keys.
    """
    n_keys = n_queries if n_keys is None else n_keys
    require_sizes(n_queries=n_queries, n_keys=n_keys)
    if n_queries > n_keys:
        raise ValueError(f"{n_queries} queries are not the last of {n_keys} keys: expected at least as many keys")
    return torch.ones(n_queries, n_keys, dtype=torch.bool, device=device).tril(n_keys - n_queries)


def padding_mask(lengths: Sequence[int] | Tensor, n_keys: int | None = None) -> Tensor:
    """True where a token stands and not padding, (B, 1, S): sequence b has lengths[b] tokens, then padding up to S.

    n_keys: the greatest length, unless told. Raises MaskError for a length below 1 or above n_keys.
    """
    lengths = torch.as_tensor(lengths)
    n_keys = int(lengths.max()) if n_keys is None else n_keys
    if not 1 <= lengths.min() <= lengths.max() <= n_keys:
        raise MaskError(
            f"lengths run from {lengths.min()} to {lengths.max()}: expected 1 to {n_keys}, one per sequence"
        )
    return (torch.arange(n_keys, device=lengths.device) < lengths[:, None])[:, None]


def _allowed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
    """Check what attention is given; mask and causality as one mask."""
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if min(query.ndim, key.ndim, value.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"{shapes}: expected (…, T, d_k), (…, S, d_k), (…, S, d_v): query and key of one length d_k")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"{shapes}: expected as many values as keys, one for each")
    lead = query.shape[:-2]
    if not lead == key.shape[:-2] == value.shape[:-2]:
        try:
            lead = torch.broadcast_shapes(lead, key.shape[:-2], value.shape[:-2])
        except RuntimeError:
            raise ValueError(
                f"{shapes}: expected the same leading axes (batch and heads), or 1 in their place"
            ) from None
    if mask is not None:
        if mask.dtype != torch.bool:
            raise MaskError(f"the mask has type {mask.dtype}: expected torch.bool, True where a query may look")
        scores = (*lead, query.shape[-2], key.shape[-2])
        fits = mask.ndim <= len(scores) and all(
            m in (1, s) for m, s in zip(reversed(mask.shape), reversed(scores), strict=False)
        )
        if not fits:
            raise MaskError(f"the mask has shape {tuple(mask.shape)}: expected one that broadcasts to {scores}")
    if causal:
        no_later = causal_mask(query.shape[-2], key.shape[-2], query.device)
        mask = no_later if mask is None else mask & no_later
    # The values are looked at on the CPU only: to look on an accelerator is to wait for it. `padding_mask` has checked
    # lengths, a causal mask always leaves a place, and training stops at a loss that is no number.
    if mask is not None and mask.device.type == "cpu" and not torch.compiler.is_compiling():
        if not (seen := mask.any(-1)).all():
            place = tuple((~seen).nonzero()[0].tolist())
            raise MaskError(f"row {place} of the mask is False everywhere: every query must see at least one key")
    return mask


class MultiHeadAttention(nn.Module):
    """Attention in n_heads subspaces at once (Vaswani et al. 2017, section 3.2.2): query, key and value projected to
    d_head = d_model / n_heads numbers per head, attention in each, the outputs side by side, projected again.

    positions: rotates queries and keys or adds a bias to the scores (`course_lib.positions`); for self-attention only.
    qk_norm:   queries and keys normalised in each head (by the root mean square; after Henry et al. 2020), before they
               are rotated.
    Raises ValueError where d_model is not divisible by n_heads.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        positions: Positions | None = None,
        bias: bool = True,
        qk_norm: bool = False,
    ):
        super().__init__()
        require_sizes(d_model=d_model, n_heads=n_heads)
        if d_model % n_heads:
            raise ValueError(f"d_model is {d_model} and n_heads {n_heads}: expected a d_model that n_heads divides")
        self.d_model, self.n_heads = d_model, n_heads
        self.query, self.key, self.value, self.output = (nn.Linear(d_model, d_model, bias) for _ in range(4))
        d_head = d_model // n_heads
        self.query_norm, self.key_norm = (RMSNorm(d_head) if qk_norm else nn.Identity() for _ in range(2))
        self.positions = Positions() if positions is None else positions
        self.watched: list[Tensor] | None = None  # where `watch` collects the weights

    def remember(self, source: Tensor, past: KeyValueCache | None = None) -> KeyValueCache:
        """Keys and values of source (B, S, d_model), appended to those of `past`."""
        start = 0 if past is None else len(past)
        key = self.positions.rotate(self.key_norm(self._heads(self.key, source)), start)
        value = self._heads(self.value, source)
        return KeyValueCache(key, value) if past is None else past.extended(key, value)

    def forward(self, x: Tensor, memory: KeyValueCache, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """x (B, T, d_model) looks at the memory: at what `remember` made of another sequence, or of x itself; then x is
        the last T of its S places. → (B, T, d_model). mask: (T, S), (B, 1, S) or (B, T, S), True where x may look.
        """
        key, value = memory
        start = key.shape[2] - x.shape[1]
        query = self.positions.rotate(self.query_norm(self._heads(self.query, x)), start)
        bias = self.positions.bias(x.shape[1], key.shape[2])
        mask = mask if mask is None else torch.atleast_2d(mask).unsqueeze(-3)  # the same for all heads
        if self.watched is None:
            mixed = fused_attention(query, key, value, mask, bias, causal)
        else:
            mixed, weights = attention(query, key, value, mask, bias, causal)
            self.watched.append(weights.detach())
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _heads(self, projection: nn.Linear, x: Tensor) -> Tensor:
        """(B, T, d_model) → (B, n_heads, T, d_head): head h has the coordinates from h · d_head on."""
        if x.ndim != 3 or x.shape[-1] != self.d_model:
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (B, T, {self.d_model})")
        return projection(x).view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


@contextmanager
def watch(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the attention weights of a model while it runs: {name of the MultiHeadAttention: [weights of each call,
    (B, n_heads, T, S)]}. They are those it used, masks and all.
    """
    heads = {name: module for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)}
    seen = {name: [] for name in heads}
    before = {module: module.watched for module in heads.values()}
    for name, module in heads.items():
        module.watched = seen[name]
    try:
        yield seen
    finally:
        for module, watched in before.items():
            module.watched = watched
