"""Exercise 3: the perplexity of a mixture. Powers of 2, so that every case can be worked by hand."""

import math
from collections.abc import Callable

import numpy as np

from course_lib.checks.case import Case, passed

NAME = "mixture_perplexity"


def check_mixture_perplexity(answer: Callable) -> None:
    """The answer: p (T,), q (T,), weight → exp of the mean surprise of weight · p + (1 − weight) · q."""
    one_token(answer)
    three_tokens(answer)
    both_models(answer)
    certain_zeros(answer)
    long_text(answer)
    passed(NAME)


def number(case: Case) -> float:
    return float(case.numbers(hint="One number is asked for."))


def one_token(answer: Callable) -> None:
    """Weight 1: only p counts, and the perplexity of one token is 1/p."""
    case = Case(answer, NAME, np.array([1 / 8]), np.array([1 / 5]), 1.0)
    suspects = [
        (math.log(8), "This is the cross-entropy in nats; the perplexity is its exponential."),
        (3, "This is the cross-entropy in bits; the perplexity is 2 to that power."),
        (1 / 8, "The sign is wrong: a surprise is −log p."),
        (math.exp(3), "The bases do not fit: exp undoes the natural logarithm, 2** undoes log2."),
        (2 ** math.log(8), "The bases do not fit: exp undoes the natural logarithm, 2** undoes log2."),
        (5, "The weight belongs to p, and 1 − weight to q; you have them the other way round."),
        (1 / (1 / 8 + 1 / 5), "p and q are added in full: weight p + (1 − weight) q."),
        (2 / (1 / 8 + 1 / 5), "The weight is not used: weight p + (1 − weight) q."),
    ]
    case.compare(number(case), 8, "One token of probability 1/8: perplexity 8.", suspects)


def three_tokens(answer: Callable) -> None:
    p = np.array([1 / 2, 1 / 4, 1 / 64])  # 1 + 2 + 6 bits
    case = Case(answer, NAME, p, p, 1.0)
    suspects = [
        (512, "Take the mean of the surprises, not their sum: divide by the number of tokens T."),
        (2**4.5, "The mean is over all T = 3 tokens, so divide by T, not by T − 1."),
        (70 / 3, "You average 1/p; average the surprises −log p first, then take the exponential."),
        (3 / p.sum(), "You average the probabilities; average their surprises −log p."),
        (math.exp(np.median(-np.log(p))), "This is the median; the cross-entropy is the mean."),
    ]
    case.compare(number(case), 8, "1 + 2 + 6 bits are 3 bits per token: perplexity 2³ = 8.", suspects)


def both_models(answer: Callable) -> None:
    """Mixed, the probabilities are 1/4 and 1/16; q alone has perplexity √96, p alone √32."""
    case = Case(answer, NAME, np.array([1 / 2, 1 / 16]), np.array([1 / 6, 1 / 16]), 0.25)
    p, q = math.sqrt(32), math.sqrt(96)
    swapped = "The weight belongs to p, and 1 − weight to q; you have them the other way round."
    suspects = [
        (p / 4 + 3 * q / 4, "You mix the two perplexities; mix the probabilities of each token."),
        (p**0.25 * q**0.75, "You mix the logarithms; mix the probabilities, then take the logarithm."),
        (1 / (0.25 / p + 0.75 / q), "You mix the two results; mix the probabilities of each token."),
        (math.sqrt(38.4), swapped),
        (math.sqrt(48), "The weight is not used: weight p + (1 − weight) q."),
        (p, "q is not used: the mixture is weight p + (1 − weight) q."),
    ]
    case.compare(number(case), 8, "The mixed probabilities are 1/4 and 1/16: perplexity √64 = 8.", suspects)


def certain_zeros(answer: Callable) -> None:
    case = Case(answer, NAME, np.array([1 / 2, 0]), np.array([0, 1 / 2]), 0.5)
    otherwise = "Mixed, both tokens have probability 1/4: a zero of one model alone does no harm."
    suspects = [(lambda got: not math.isfinite(got), otherwise + " Take logarithms after mixing.")]
    case.compare(number(case), 4, otherwise, suspects)


def long_text(answer: Callable) -> None:
    p = np.full(3000, 0.01)
    case = Case(answer, NAME, p, p, 0.5, shown=f"{NAME}(p, p, 0.5), 3,000 tokens of probability 0.01")
    product = "A product of many probabilities is too small for a computer's numbers: add logarithms instead."
    suspects = [(lambda got: not math.isfinite(got) or got in (0, 1), product)]
    case.compare(number(case), 100, "Every token has probability 1/100: perplexity 100.", suspects)
