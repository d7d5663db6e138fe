"""Pieces of words as tokens: the most frequent pair of neighbours becomes a token, then the next, and so on."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import pairwise

from tqdm.auto import tqdm

from course_lib.vocab.vocabulary import Vocabulary, VocabularyError

# Letters, digits or other signs with the space before them, or white space: one of these matches at every character,
# so the words of a text join to the text. GPT-2 cuts much the same, and knows of 's, 'll and so on.
WORD = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?= \S)|\s+")


class BytePairs(Vocabulary):
    """Byte-pair encoding, learned from a text or documents (Gage 1994; Sennrich, Haddow and Birch 2016).

    Starts from the characters of the text, in code-point order, and merges the most frequent pair of neighbouring
    tokens until there are `n_tokens` tokens, `<unk>` and markers included, or no pair occurs twice. Of equally
    frequent pairs it takes the one with the smallest ids. No token crosses the end of a word. To encode a text, the
    same merges are made in it, in the order learned.

    The characters of an ASCII text are its bytes. GPT-2 starts from the 256 bytes, so that it can write every text;
    here a character that the text lacks is a piece of its own, `<unk>` with `unknown`, otherwise an error.

    merges: the pairs (left, right) in the order learned; the tokens left + right follow the characters in this order.

    Raises VocabularyError for an empty text, and for an `n_tokens` that the characters alone exceed.
    """

    def __init__(self, documents: str | Iterable[str], n_tokens: int, markers: bool = False, unknown: bool = False):
        documents = [documents] if isinstance(documents, str) else documents
        counts = Counter(word for document in documents for word in WORD.findall(document))
        if not counts:
            raise VocabularyError("the text is empty: pass at least one character")
        characters, n_special = sorted(set().union(*counts)), unknown + 2 * markers
        if n_tokens < n_special + len(characters):
            raise VocabularyError(
                f"n_tokens is {n_tokens}: expected {n_special + len(characters)} or more, one for each of the "
                f"{len(characters)} characters of the text and {n_special} special tokens: ask for more, or leave rare "
                "characters out of the text"
            )
        tokens, self.merges = _learn(counts, characters, n_tokens - n_special)
        super().__init__(tokens, self._split, markers, unknown)
        self._rank = {pair: rank for rank, pair in enumerate(self.merges)}
        self._cuts: dict[str, list[str]] = {}  # of words met before, as most words of a text were

    def _split(self, text: str) -> list[str]:
        return [piece for word in WORD.findall(text) for piece in self._cuts.get(word) or self._cut(word)]

    def _cut(self, word: str) -> list[str]:
        pieces = list(word)
        while known := self._rank.keys() & pairwise(pieces):
            pieces = _merge(pieces, *min(known, key=self._rank.get))
        self._cuts[word] = pieces
        return pieces


def _learn(counts: Counter[str], characters: list[str], n_tokens: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The tokens and the merges that made them, from how often each word occurs."""
    ids = {character: i for i, character in enumerate(characters)}
    words, n_words = [list(word) for word in counts], list(counts.values())
    merges, n_pairs, where, heap, changed = [], Counter(), defaultdict(set), [], set()

    def count(w: int, sign: int) -> None:
        for pair in pairwise(words[w]):
            n_pairs[pair] += sign * n_words[w]
            where[pair].add(w)
            changed.add(pair)

    for w in range(len(words)):
        count(w, +1)
    for _ in tqdm(range(n_tokens - len(ids)), "merging", delay=1, leave=False):
        for left, right in changed:
            heappush(heap, (-n_pairs[left, right], ids[left], ids[right], (left, right)))
        changed.clear()
        while heap and -heap[0][0] != n_pairs[heap[0][-1]]:
            heappop(heap)  # its count has changed since
        if not heap or -heap[0][0] < 2:
            break
        left, right = pair = heap[0][-1]
        merges.append(pair)
        ids[left + right] = len(ids)  # always new: a spelling is only ever put together in one way
        for w in where.pop(pair):  # no other word changes, so no other is counted again
            count(w, -1)
            words[w] = _merge(words[w], left, right)
            count(w, +1)
    return list(ids), merges


def _merge(pieces: list[str], left: str, right: str) -> list[str]:
    """Each `left` before a `right` merged with it, from the start: a, a, a gives aa, a."""
    merged = []
    for piece in pieces:
        if piece == right and merged and merged[-1] == left:
            merged[-1] = left + right
        else:
            merged.append(piece)
    return merged
