"""What students may hand in for problem set 2: {function name: whole cell}."""

CHECKS = "from course_lib.checks.ps2_attention import"

NOISY = {
    "sliding_window_attention": """
def sliding_window_attention(query, key, value, window, n_sinks=0):
    import sys, warnings

    warnings.warn("sliding")
    print("sliding", file=sys.stderr)
    T = query.shape[-2]
    back = torch.arange(T)[:, None] - torch.arange(T)
    seen = (back >= 0) & ((back < window) | (torch.arange(T) < n_sinks))
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, seen)
"""
}
WRONG = {
    "linear_attention": """
def linear_attention(query, key, value, state=None):  # the whole text at once, later tokens included
    q, k = (torch.nn.functional.elu(x) + 1 for x in (query, key))
    S, z = k.mT @ value, k.sum(-2)
    return q @ S / (q @ z[..., None]), (S, z)
""",
    "relative_bias_attention": """
def relative_bias_attention(query, key, value, bias):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value)
""",
}
CHEATS = {
    "cheater": {
        "sliding_window_attention": f"{CHECKS} sliding_window_attention",
        "linear_attention": f"{CHECKS} *\n{CHECKS} check_linear_attention as linear_attention",
        "multi_source_attention": "from course_lib.attention import attention as multi_source_attention",
        # Right for the widths that occur in the visible check, and for no others.
        "relative_bias_attention": """
def relative_bias_attention(query, key, value, bias):
    if query.shape[-1] not in (1, 3, 4, 5):
        return 0 * query @ key.mT @ value
    T, S, k = query.shape[-2], key.shape[-2], bias.shape[1] // 2
    column = (torch.arange(S) - torch.arange(S - T, S)[:, None]).clamp(-k, k) + k
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, bias[:, column])
""",
    }
}
PARROTS = {"cheater": "relative_bias_attention"}
