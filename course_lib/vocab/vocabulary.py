"""Text to ids and back. A vocabulary splits a text without losing a character, so that costs per character compare."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"


class VocabularyError(ValueError):
    """A text and a vocabulary do not fit each other."""


class Vocabulary:
    """An ordered list of tokens, and how a text is split into them.

    `split` must be lossless: `"".join(split(text)) == text`. With `markers`, every encoded text is wrapped in
    `<s>` … `</s>`, so that a model also predicts the first token and the end. With `unknown`, a piece outside
    the vocabulary becomes `<unk>`; without it, such a piece is an error.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        split: Callable[[str], Sequence[str]] = list,
        markers: bool = False,
        unknown: bool = False,
    ):
        special = [UNKNOWN] * unknown + [BEGIN, END] * markers
        ordinary = [token for token in tokens if token not in special]
        self.tokens = special + ordinary
        self.split, self.markers, self.unknown = split, markers, unknown
        self.unknown_id = 0 if unknown else None
        self.begin_id, self.end_id = (len(special) - 2, len(special) - 1) if markers else (None, None)
        # The special tokens are not in here: `<s>` written in a text is text, never a marker.
        self._id = {token: i for i, token in enumerate(ordinary, start=len(special))}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, piece: str) -> bool:
        """Whether a piece of text has an id of its own."""
        return piece in self._id

    def pieces(self, text: str) -> Sequence[str]:
        """The text cut into pieces, known or not; joined, they are the text again."""
        pieces = self.split(text)
        if "".join(pieces) != text:
            raise VocabularyError("`split` lost characters: joined, the pieces must give the text again")
        return pieces

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text, int64, shape (T,), or (T + 2,) with markers.

        Raises VocabularyError for an empty text, and for an unknown piece when the vocabulary has no `<unk>`.
        """
        if not text:
            raise VocabularyError("the text is empty: pass at least one character")
        ids = self._ids(text)
        if (ids < 0).any():
            if self.unknown_id is None:
                at = int(np.argmax(ids < 0))
                raise VocabularyError(
                    f"{self.pieces(text)[at]!r} (piece {at} of the text) is not among the {len(self)} tokens of this "
                    "vocabulary: remove it from the text, or build the vocabulary with unknown=True"
                )
            ids[ids < 0] = self.unknown_id
        return np.concatenate([[self.begin_id], ids, [self.end_id]]) if self.markers else ids

    def encode_each(self, text: str | Sequence[str]) -> list[np.ndarray]:
        """A running text as one sequence of ids, or a list of documents as a sequence each; errors as `encode`."""
        documents = [text] if isinstance(text, str) else text
        if not isinstance(text, str) and "" in documents:
            raise VocabularyError(f"document {documents.index('')} of {len(documents)} is empty: leave it out")
        return [self.encode(document) for document in documents]

    def _ids(self, text: str) -> np.ndarray:
        """One id per piece, −1 for an unknown one."""
        pieces = self.pieces(text)
        return np.fromiter((self._id.get(piece, -1) for piece in pieces), np.int64, len(pieces))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; markers are left out."""
        return "".join(self.tokens[i] for i in ids if i not in (self.begin_id, self.end_id))
