"""The baseline: modified Kneser–Ney over characters, written with dictionaries the way one first would.

Same model, same numbers as `course_lib.ngram` (the benchmark checks it); an n-gram is a slice of the text.
"""

from collections import Counter, defaultdict

BEGIN, END = "\x02", "\x03"


class DictionaryNGram:
    def __init__(self, text: str, order: int):
        text = BEGIN + text + END
        self.order = order
        self.counts = [Counter(text[i : i + k] for i in range(len(text) - k + 1)) for k in range(1, order + 1)]
        del self.counts[0][BEGIN]
        self.n_outcomes = len(self.counts[0]) + 1  # and one unknown character
        for k in range(order - 1):  # continuation counts; after the begin marker nothing can precede
            continuation = Counter(gram[1:] for gram in self.counts[k + 1])
            for gram, n in self.counts[k].items():
                continuation[gram] = n if gram[0] == BEGIN else continuation[gram]
            self.counts[k] = continuation
        del self.counts[0][BEGIN]
        self.discounts = [self._discounts(Counter(counts.values())) for counts in self.counts]
        self.total, self.left = defaultdict(int), defaultdict(float)
        for counts, d in zip(self.counts, self.discounts, strict=True):
            for gram, n in counts.items():
                self.total[gram[:-1]] += n
                self.left[gram[:-1]] += d[min(n, 3)]

    @staticmethod
    def _discounts(n: Counter) -> list[float]:
        if not all(n[i] for i in (1, 2, 3, 4)):
            return [0, 0.5, 1, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        d = [0, *(i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))]
        return d if min(d) >= 0 else [0, 0.5, 1, 1.5]

    def probability(self, context: str, token: str) -> float:
        p = 1 / self.n_outcomes
        for k in range(min(self.order, len(context) + 1)):
            h = context[len(context) - k :]
            total = self.total.get(h, 0)
            if not total:
                break
            n = self.counts[k].get(h + token, 0)
            p = (n - self.discounts[k][min(n, 3)] + self.left[h] * p) / total
        return p

    def probabilities(self, text: str) -> list[float]:
        text = BEGIN + text + END
        n = self.order - 1
        return [self.probability(text[max(0, i - n) : i], text[i]) for i in range(1, len(text))]
