"""N-gram models straight from their definitions: tuples, loops and exact fractions. Slow, and independent of
`course_lib.ngram`, which the tests hold to it."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise


class BruteForce:
    """sequences: tuples of tokens, already wrapped in `<s>` … `</s>` if `begin` is not None."""

    def __init__(self, sequences, order, vocabulary, begin=None):
        self.order, self.vocabulary, self.begin = order, vocabulary, begin
        self.outcomes = [w for w in vocabulary if w != begin]
        self.raw = Counter(
            s[i : i + k] for s in sequences for k in range(1, order + 1) for i in range(len(s) - k + 1)
        )  # fmt: skip
        del self.raw[(begin,)]

    def count(self, gram, kneser_ney):
        """The count that a model of this order uses for an n-gram."""
        if not kneser_ney or len(gram) == self.order or gram[0] == self.begin:
            return self.raw[gram]
        return sum((v, *gram) in self.raw for v in self.vocabulary)

    def discounts(self, k, kneser_ney, three):
        of = Counter(self.count(g, kneser_ney) for g in self.raw if len(g) == k)
        single = Fraction(of[1], of[1] + 2 * of[2]) if of[1] and of[2] else Fraction(1, 2)
        if not three:
            return lambda c: single if c else Fraction(0)
        fallback = [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2)]
        if not all(of[i] for i in (1, 2, 3, 4)):
            return lambda c: fallback[min(c, 3)]
        y = Fraction(of[1], of[1] + 2 * of[2])
        d = [Fraction(0)] + [i - (i + 1) * y * Fraction(b, a) for i, (a, b) in
                             enumerate(pairwise([of[1], of[2], of[3], of[4]]), 1)]  # fmt: skip
        if min(d) < 0:
            d = fallback
        return lambda c: d[min(c, 3)]

    def discounted(self, h, w, kneser_ney, three):
        """p(w | h) by absolute discounting or (modified) Kneser–Ney."""
        discount = self.discounts(len(h) + 1, kneser_ney, three)
        counts = {v: self.count((*h, v), kneser_ney) for v in self.outcomes}
        lower = self.discounted(h[1:], w, kneser_ney, three) if h else Fraction(w in self.outcomes, len(self.outcomes))
        total = sum(counts.values())
        if total == 0:
            return lower
        left = sum(discount(c) for c in counts.values()) / Fraction(total)
        own = Fraction(0)
        if w in counts:
            own = (counts[w] - discount(counts[w])) / Fraction(total)
        return own + left * lower

    def interpolated(self, h, w, weights):
        lower = self.interpolated(h[1:], w, weights) if h else Fraction(w in self.outcomes, len(self.outcomes))
        total = sum(self.raw[(*h, v)] for v in self.outcomes)
        if total == 0:
            return lower
        weight = weights[len(h)]
        return weight * Fraction(self.raw[(*h, w)], total) + (1 - weight) * lower

    def additive(self, h, w, k):
        if w not in self.outcomes:
            return Fraction(0)
        if len(h) + 1 < self.order:  # fewer tokens than the model asks for: nothing was counted
            return Fraction(1, len(self.outcomes))
        total = sum(self.raw[(*h, v)] for v in self.outcomes)
        return (self.raw[(*h, w)] + k) / (total + k * len(self.outcomes))
