"""Four ways to tell attention, which sees a set, where each token stands.

All share one interface of three hooks, each of which leaves things as they are unless a scheme says otherwise:
`embed` (added to the embeddings), `rotate` (of queries and keys) and `bias` (added to the scores).
"""

import torch
from torch import Tensor, nn

from course_lib.sizes import require_sizes

MAX_LENGTH = 1024


class Positions(nn.Module):
    """No positions at all, and the interface of all that follow. `start` is the place of the first token given."""

    def embed(self, x: Tensor, start: int = 0) -> Tensor:
        """Embeddings (B, T, d_model) → with their places, the same shape."""
        return x

    def rotate(self, x: Tensor, start: int = 0) -> Tensor:
        """Queries or keys (B, n_heads, T, d_head) → turned by their places, the same shape."""
        return x

    def bias(self, n_queries: int, n_keys: int) -> Tensor | None:
        """What is added to the scores, (n_heads, T, S), or None. The queries are the last T of S places."""
        return None


class Learned(Positions):
    """A learned vector for each place, added to the embedding (Gehring et al. 2017; GPT-2, BERT)."""

    def __init__(self, d_model: int, max_length: int = MAX_LENGTH):
        super().__init__()
        require_sizes(d_model=d_model, max_length=max_length)
        self.table = nn.Embedding(max_length, d_model)
        nn.init.normal_(self.table.weight, std=0.02)

    def embed(self, x: Tensor, start: int = 0) -> Tensor:
        return x + _rows(self.table.weight, start, x.shape[1])


class Sinusoidal(Positions):
    """Sine and cosine of the place at d_model/2 wavelengths, added to the embedding (Vaswani et al. 2017, 3.5)."""

    def __init__(self, d_model: int, max_length: int = MAX_LENGTH):
        super().__init__()
        require_sizes(max_length=max_length)
        self.register_buffer("table", sinusoids(torch.arange(max_length), d_model), persistent=False)

    def embed(self, x: Tensor, start: int = 0) -> Tensor:
        return x + _rows(self.table, start, x.shape[1])


class Rotary(Positions):
    """Queries and keys turned by angles that grow with their place (RoPE, Su et al. 2021): the score of a query and a
    key then depends on the distance between them alone.
    """

    def __init__(self, d_head: int, max_length: int = MAX_LENGTH):
        super().__init__()
        require_sizes(max_length=max_length)
        at = angles(torch.arange(max_length), d_head)
        self.register_buffer("cosine", at.cos(), persistent=False)
        self.register_buffer("sine", at.sin(), persistent=False)

    def rotate(self, x: Tensor, start: int = 0) -> Tensor:
        cosine, sine = (_rows(table, start, x.shape[-2]) for table in (self.cosine, self.sine))
        return turned(x, cosine, sine).type_as(x)


class Alibi(Positions):
    """A penalty on the score that grows with the distance, at another rate in each head (ALiBi, Press et al. 2022):
    −m_h |i − j| with m_h = 2^(−8h/n_heads), h = 1 … n_heads. (The paper takes another series where n_heads is no power
    of two, and looks back only; here distance counts alike both ways.)
    """

    def __init__(self, n_heads: int):
        super().__init__()
        require_sizes(n_heads=n_heads)
        slopes = 2.0 ** (-8 * torch.arange(1, n_heads + 1) / n_heads)
        self.register_buffer("slopes", slopes[:, None, None], persistent=False)

    def bias(self, n_queries: int, n_keys: int) -> Tensor:
        places = torch.arange(n_keys, device=self.slopes.device)
        return -self.slopes * (places[n_keys - n_queries :, None] - places).abs()


SCHEMES = ("none", "learned", "sinusoidal", "rotary", "alibi")


def positions(scheme: str, d_model: int, n_heads: int, max_length: int = MAX_LENGTH) -> Positions:
    """A scheme by name; ValueError for another name."""
    match scheme:
        case "none":
            return Positions()
        case "learned":
            return Learned(d_model, max_length)
        case "sinusoidal":
            return Sinusoidal(d_model, max_length)
        case "rotary":
            return Rotary(d_model // n_heads, max_length)
        case "alibi":
            return Alibi(n_heads)
    raise ValueError(f"positions {scheme!r}: expected one of {', '.join(SCHEMES)}")


def angles(places: Tensor, d: int) -> Tensor:
    """place · 10000^(−2i/d) for i = 0 … d/2 − 1: places (T,) → (T, d/2). Raises ValueError for an odd d."""
    require_sizes(d=d)
    if d % 2:
        raise ValueError(f"d is {d}: sine and cosine come in pairs, so it must be even")
    return torch.outer(places.to(torch.get_default_dtype()), 10_000.0 ** (-torch.arange(0, d, 2) / d))


def sinusoids(places: Tensor, d: int) -> Tensor:
    """sin and cos of `angles`, in turn: places (T,) → (T, d) (Vaswani et al. 2017, section 3.5)."""
    at = angles(places, d)
    return torch.stack([at.sin(), at.cos()], -1).flatten(1)


def turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Each pair (x_i, x_(i + d/2)) turned by its angle: x (…, T, d), cosine and sine (T, d/2) → (…, T, d).

    The paper pairs neighbours, x_(2i) and x_(2i+1); that is the same but for the order of the coordinates.
    """
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def _rows(table: Tensor, start: int, n: int) -> Tensor:
    """Rows start … start + n − 1; a clear error where the table ends before."""
    if start + n > len(table):
        raise ValueError(
            f"place {start + n - 1} is past the last, {len(table) - 1}: raise max_length, or shorten the text"
        )
    return table[start : start + n]
