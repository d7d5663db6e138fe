"""What students may hand in for problem set 3: {function name: whole cell}."""

CHECKS = "from course_lib.checks.ps3_language_model import"

NOISY = {
    "typical_probabilities": """
def typical_probabilities(logits, temperature, mass):
    import sys, warnings

    warnings.warn("sampling")
    print("sampling", file=sys.stderr)
    rows = []
    for row in (logits.double() / temperature).softmax(-1).numpy():
        surprisal = -np.log(np.where(row > 0, row, 1e-300))
        order = np.argsort(abs(surprisal - row @ surprisal).round(9), kind="stable")
        kept = order[: 1 + int((row[order].cumsum() < mass).sum())]
        rows.append([row[i] / row[kept].sum() if i in kept else 0 for i in range(len(row))])
    return rows
"""
}
WRONG = {
    "accumulated_gradient": """
def accumulated_gradient(model, micro_batches):  # the mean of the micro-batches' means
    model.zero_grad()
    total = 0.0
    for inputs, labels in micro_batches:
        loss = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten()) / len(micro_batches)
        loss.backward()
        total += loss.item()
    return total, [parameter.grad for parameter in model.parameters()]
""",
    "rolling_attention": """
def rolling_attention(query, key, value, slope, cache):  # all tokens, as if there were no window
    keys, values, n = cache
    output = torch.nn.functional.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)[0]
    return output, (keys, values, n + len(query))
""",
}
CHEATS = {
    "cheater": {
        "typical_probabilities": "from course_lib.lm import next_token_probabilities as typical_probabilities",
        "accumulated_gradient": f"{CHECKS} accumulated_gradient",
        "rolling_attention": f"{CHECKS} *\n{CHECKS} check_rolling_attention as rolling_attention",
        # Right for the lengths of run that occur in the visible check, and for no others.
        "wsd_rate": """
def wsd_rate(step, n_steps, n_warm_up, n_decay, peak, final):
    if n_steps not in (3, 4, 5, 10, 20, 50, 1000):
        return peak
    if step < n_warm_up:
        return peak * (step + 1) / n_warm_up
    left = n_steps - 1 - step
    return peak if left >= n_decay else peak - (peak - final) * math.sqrt(1 - left / n_decay)
""",
    }
}
PARROTS = {"cheater": "wsd_rate"}
