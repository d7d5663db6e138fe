"""Where an exercise's variants are written down."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Exercise:
    """correct: {what it is: answer}; bugs: {what is wrong: (answer, the phrase that the check's message must hold)}."""

    name: str
    check: Callable
    correct: dict[str, Callable] = field(default_factory=dict)
    bugs: dict[str, tuple[Callable, str]] = field(default_factory=dict)

    def right(self, what: str) -> Callable:
        def add(answer: Callable) -> Callable:
            assert what not in self.correct
            self.correct[what] = answer
            return answer

        return add

    def bug(self, what: str, says: str) -> Callable:
        def add(answer: Callable) -> Callable:
            assert what not in self.bugs
            self.bugs[what] = answer, says
            return answer

        return add
