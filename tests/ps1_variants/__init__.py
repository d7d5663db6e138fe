"""For each exercise of problem set 1: answers that are right, each in another way, and classic bugs."""

from ps1_variants import bigram, cross_entropy, gradient, line_search, min_p, mixture, witten_bell

EXERCISES = [each.exercise for each in (bigram, witten_bell, mixture, min_p, cross_entropy, gradient, line_search)]
