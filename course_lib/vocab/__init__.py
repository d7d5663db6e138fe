"""Text to ids and back: the vocabulary that all share, and what its tokens are."""

from course_lib.vocab.byte_pairs import BytePairs
from course_lib.vocab.characters import Characters
from course_lib.vocab.vocabulary import Vocabulary, VocabularyError
from course_lib.vocab.words import Words

__all__ = ["BytePairs", "Characters", "Vocabulary", "VocabularyError", "Words"]
