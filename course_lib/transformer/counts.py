"""What a Transformer language model holds and computes, by formula."""

from course_lib.transformer.architecture import Architecture


def n_matrix_parameters(vocab_size: int, a: Architecture) -> int:
    """Parameters of the matrices that every token is multiplied by: per layer four of attention, d_model × d_model, and
    two of the feed-forward network, d_model × d_ff; and the output layer. Looking up an embedding multiplies nothing.
    """
    return a.n_layers * (4 * a.d_model**2 + 2 * a.d_model * a.d_ff) + vocab_size * a.d_model


def n_parameters(vocab_size: int, a: Architecture) -> int:
    """All parameters of a `TransformerLM`."""
    d = a.d_model
    norm = d * (2 if a.normalisation == "layer" else 1)  # a gain, and for layer normalisation a shift
    per_layer = 2 * norm
    if a.bias:
        per_layer += 5 * d + a.d_ff
    if a.qk_norm:
        per_layer += 2 * (d // a.n_heads)
    rest = norm if a.norm == "pre" else 0
    rest += a.max_length * d if a.positions == "learned" else 0
    rest += d if a.token_shift else 0
    rest += 0 if a.tied else vocab_size * d  # tied: the embedding is the output layer, counted already
    return n_matrix_parameters(vocab_size, a) + a.n_layers * per_layer + rest


def forward_flops_per_token(vocab_size: int, a: Architecture, length: int) -> int:
    """Floating-point operations of the matrix products, in blocks of `length` tokens: 2 for each parameter of a matrix
    (a product and a sum), and in each layer 2 · 2 · length · d_model for Q Kᵀ and for the weights times V.

    (A causal kernel skips up to half of the latter.) Training costs three times that: backwards, each product needs two
    more, one for the gradient of either factor. Without the attention term: 6 N per token (Kaplan et al. 2020, 2.1,
    whose N leaves out the output layer, too).
    """
    return 2 * n_matrix_parameters(vocab_size, a) + a.n_layers * 4 * length * a.d_model


def muon_flops(a: Architecture, rounds: int = 5) -> int:
    """Operations of the products of one step of Muon, whatever the batch. Each round of Newton–Schulz on a matrix whose
    shorter side is s and whose longer is l: X Xᵀ and its product with X, 2 s² l each, and the square between, 2 s³.
    """

    def one_round(m: int, n: int) -> int:
        s, l = sorted((m, n))  # noqa: E741
        return 4 * s * s * l + 2 * s**3

    return rounds * a.n_layers * (4 * one_round(a.d_model, a.d_model) + 2 * one_round(a.d_model, a.d_ff))


def training_bytes(n: int, averages: int = 2) -> int:
    """Memory for n float32 parameters, their gradients and the optimiser's averages: AdamW keeps two, 16 bytes each in
    all; Muon one. Activations come on top."""
    return 4 * (2 + averages) * n


def cache_bytes(a: Architecture, length: int, batch_size: int = 1, bytes_per_number: int = 4) -> int:
    """Memory of a full key–value cache: a key and a value of d_model numbers, per token and layer. While it grows token
    by token, its buffers may hold up to twice that."""
    return bytes_per_number * 2 * a.n_layers * a.d_model * length * batch_size
