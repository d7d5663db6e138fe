"""Two scores, 0 and 2 ln 3 / √4 = ln 3, with d_k = 4 and d_v = 3: what a wrong scale makes of their weights."""

import math

LN3 = math.log(3)


def weights(score: float) -> list[float]:
    """The softmax of 0 and a score, and the third number of the output, 0."""
    return [1 / (1 + math.exp(score)), 1 - 1 / (1 + math.exp(score)), 0]


SUSPECTS = [
    (weights(2 * LN3), "The scores are not scaled: divide q · k by √d_k."),
    (weights(LN3 / 2), "The scores are divided by d_k; divide by its square root."),
    (weights(4 * LN3), "The scores are multiplied by √d_k; divide."),
    (weights(2 * LN3 / math.sqrt(3)), "The scores are divided by √d_v; divide by √d_k."),
]
