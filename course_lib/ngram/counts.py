"""Counting: every n-gram of a corpus, for all orders at once, from a single sort."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_lib.vocab import Vocabulary

NOTHING = -1  # stands in a context where there is no token


@dataclass
class Level:
    """The m distinct n-grams of one length k. An n-gram's id is its row.

    keys:         int64 (m,), ascending: id of its last k−1 tokens × vocabulary size + its first token
    context:      int64 (m,): id, one level down, of its first k−1 tokens (what comes before the last token)
    raw:          int64 (m,): how often it occurs
    continuation: int64 (m,): how many different tokens precede it; at the highest order, unknown (None).
                  An n-gram that starts with `<s>` has no predecessor: there it is the raw count, as in
                  Heafield et al. (2013, section 3).
    """

    keys: np.ndarray
    context: np.ndarray
    raw: np.ndarray
    continuation: np.ndarray | None = None


class Counts:
    """The n-grams up to `order` in some sequences of ids; none reaches across the end of a sequence.

    Every position becomes a row: the token there, the token before it, and so on. Once the rows are sorted, all
    n-grams that end in the same way stand together, for every n at once: a raw count is the length of a run of
    equal rows, a continuation count the number of runs within a longer run.

    Raises ValueError for order < 1, no tokens, ids outside the vocabulary, or only sequences shorter than the order.
    """

    def __init__(self, sequences: Sequence[np.ndarray], order: int, vocab_size: int, begin_id: int | None = None):
        longest = max(map(len, sequences), default=0)
        if order < 1:
            raise ValueError(f"order is {order}: an n-gram has at least one token, so order must be 1 or more")
        if longest < order:
            raise ValueError(
                f"the longest sequence has {longest} tokens, fewer than the order {order}: "
                "there is not one n-gram to count; use more text or a lower order"
            )
        self.order, self.vocab_size, self.begin_id = order, vocab_size, begin_id
        self.levels: list[Level] = []
        rows, n_rows = _distinct(_columns(sequences, order, vocab_size), vocab_size + 1)
        starts_run = np.zeros(len(n_rows), bool)
        starts_run[0] = True
        gram = np.zeros(len(n_rows), np.int64)  # id of the n-gram in each row; so far the empty one
        for column in rows:
            starts_run[1:] |= column[1:] != column[:-1]
            start = np.flatnonzero(starts_run)
            whole = column[start] > 0  # not cut off by the start of its sequence
            raw = np.add.reduceat(n_rows, start)[whole]
            self._add_level(gram[start[whole]], column[start[whole]] - 1, raw)
            gram = np.where(whole, np.cumsum(whole) - 1, -1)[np.cumsum(starts_run) - 1]

    def _add_level(self, suffix: np.ndarray, first: np.ndarray, raw: np.ndarray) -> None:
        """Add the n-grams made of a `first` token and a `suffix` (the id, one level down, of all the others)."""
        keys = suffix * self.vocab_size + first
        if not self.levels:
            raw = np.where(first == self.begin_id, 0, raw) if self.begin_id is not None else raw
            self.levels.append(Level(keys, np.zeros_like(keys), raw))  # `<s>` is only ever a context
            return
        below = self.levels[-1]
        context = np.searchsorted(below.keys, below.context[suffix] * self.vocab_size + first)
        below.continuation = np.bincount(suffix, minlength=len(below.raw))
        starts_text = below.keys % self.vocab_size == self.begin_id
        below.continuation[starts_text] = below.raw[starts_text]
        self.levels.append(Level(keys, context, raw))

    def find(self, columns: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Ids of the 1-grams, 2-grams, … that end alike, each (N,); −1 where the corpus lacks the n-gram.

        columns: the last token, the token before it, …, each (N,); −1 stands for "nothing there".
        """
        key, _ = _packed([column + 1 for column in columns], self.vocab_size + 1)
        _, rows, place = np.unique(key, return_index=True, return_inverse=True)
        # Text repeats itself, so there are fewer rows; and as they are sorted, each search walks forward in memory.
        found, result = np.zeros(len(rows), np.int64), []
        for level, column in zip(self.levels, columns, strict=False):
            column = column[rows]
            key = np.where((found >= 0) & (column >= 0), found * self.vocab_size + column, -1)
            row = np.minimum(np.searchsorted(level.keys, key), len(level.keys) - 1)
            found = np.where(level.keys[row] == key, row, -1)
            result.append(found[place])
        return result

    def tokens(self, k: int, rows: np.ndarray) -> np.ndarray:
        """The tokens of some k-grams, given by their ids (N,); returns (N, k), oldest first."""
        columns = []
        for level in reversed(self.levels[:k]):
            rows, first = np.divmod(level.keys[rows], self.vocab_size)
            columns.append(first)
        return np.stack(columns, axis=1)

    def lookup(self, contexts: np.ndarray, targets: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Ids of the k-grams made of a context's last k−1 tokens and a target, and of those contexts, k = 1 … n.

        contexts: (N, n−1), newest token last, −1 where there is none (see `contexts_of`). targets: (N,).
        """
        newest_first = list(contexts.T[::-1])
        before = self.find(newest_first) if newest_first else []
        return self.find([targets, *newest_first]), [np.zeros(len(targets), np.int64), *before]


def _columns(sequences: Sequence[np.ndarray], order: int, vocab_size: int) -> list[np.ndarray]:
    """For each position the token there plus 1, the one before plus 1, …; 0 where the sequence had not begun."""
    sequences = [sequence for sequence in sequences if len(sequence)]
    starts = np.cumsum([0, *map(len, sequences)])[:-1]
    tokens = np.concatenate(sequences)
    if not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise ValueError(f"ids run from {tokens.min()} to {tokens.max()}: expected 0 to {vocab_size - 1}")
    columns = [tokens.astype(np.min_scalar_type(vocab_size)) + 1]
    for _ in range(1, order):
        column = np.roll(columns[-1], 1)
        column[starts] = 0
        columns.append(column)
    return columns


def _packed(columns: list[np.ndarray], base: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Rows of columns with values 0 … base − 1, packed into one integer each, int64, which sorts far faster than rows
    do, and in the same order: by the first column, then the second, …

    When 63 bits are full, the integers so far are replaced by their ranks, which take fewer bits; those that were
    replaced before column j are returned as ranked[j].
    """
    key, size, ranked = np.zeros(len(columns[0]), np.int64), 1, {}
    for j, column in enumerate(columns):
        if size * base >= 2**63:
            ranked[j], key = np.unique(key, return_inverse=True)
            size = len(ranked[j])
        key *= base
        key += column
        size *= base
    return key, ranked


def _distinct(columns: list[np.ndarray], base: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The distinct rows of columns with values below `base`, sorted by the first column, then the second, …;
    as columns again, int64; and how often each row occurs."""
    key, ranked = _packed(columns, base)
    row, n_rows = np.unique(key, return_counts=True)
    result = []
    for j in reversed(range(len(columns))):
        row, column = np.divmod(row, base)
        result.insert(0, column)
        row = ranked[j][row] if j in ranked else row
    return result, n_rows


def contexts_of(ids: np.ndarray, n: int) -> np.ndarray:
    """The last n − 1 tokens up to and with each position, ids (B, T) → (B·T, n − 1); −1 before the start."""
    padded = np.pad(ids, ((0, 0), (n - 1, 0)), constant_values=NOTHING)[:, 1:]
    return np.lib.stride_tricks.sliding_window_view(padded, n - 1, axis=1).reshape(ids.size, n - 1)


def count_ngrams(vocab: Vocabulary, text: str | Sequence[str], order: int) -> Counts:
    """Count a running text (one sequence) or a list of documents (a sequence each)."""
    return Counts(vocab.encode_each(text), order, len(vocab), vocab.begin_id)
