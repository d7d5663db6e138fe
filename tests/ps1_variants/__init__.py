"""For each exercise of problem set 1: answers that are right, each in another way, and classic bugs."""

from variants import ProblemSet

from ps1_variants import bigram, cross_entropy, gradient, line_search, min_p, mixture, submissions, witten_bell

EXERCISES = [each.exercise for each in (bigram, witten_bell, mixture, min_p, cross_entropy, gradient, line_search)]
PS1 = ProblemSet(
    "ps1_counting",
    EXERCISES,
    noisy=submissions.NOISY,
    wrong=submissions.WRONG,
    cheats=submissions.CHEATS,
    parrots=submissions.PARROTS,
)
