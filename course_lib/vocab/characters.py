"""Every character is a token: the smallest vocabulary, the longest sequences."""

from collections.abc import Iterable

import numpy as np

from course_lib.vocab.vocabulary import Vocabulary


class Characters(Vocabulary):
    """The characters of a text (or of several texts), in code-point order."""

    def __init__(self, text: str | Iterable[str], markers: bool = False, unknown: bool = False):
        texts = [text] if isinstance(text, str) else text
        super().__init__(sorted(set().union(*texts)), list, markers, unknown)
        codes = {ord(token): i for token, i in self._id.items()}
        self._by_code = np.full(max(codes, default=0) + 2, -1)  # the last entry serves every higher code point
        self._by_code[list(codes)] = list(codes.values())

    def _ids(self, text: str) -> np.ndarray:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        return self._by_code[np.minimum(codes, len(self._by_code) - 1)]
