"""Every frequent word is a token; what the others were is lost."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from course_lib.vocab.vocabulary import Vocabulary


class Words(Vocabulary):
    """The pieces that occur at least `min_count` times in a text or documents, most frequent first, and `<unk>`."""

    def __init__(
        self,
        documents: str | Iterable[str],
        split: Callable[[str], Sequence[str]],
        min_count: int = 2,
        markers: bool = True,
    ):
        documents = [documents] if isinstance(documents, str) else documents
        counts = Counter(piece for document in documents for piece in split(document))
        kept = sorted((piece for piece, n in counts.items() if n >= min_count), key=lambda p: (-counts[p], p))
        super().__init__(kept, split, markers, unknown=True)
