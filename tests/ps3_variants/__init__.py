"""For each exercise of problem set 3: answers that are right, each in another way, and classic bugs."""

from variants import ProblemSet

from ps3_variants import (
    accumulation,
    causal_loss,
    next_token,
    rolling_cache,
    schedule,
    submissions,
    training_step,
    typical,
)

MODULES = (causal_loss, next_token, training_step, typical, accumulation, schedule, rolling_cache)
PS3 = ProblemSet(
    "ps3_language_model",
    [each.exercise for each in MODULES],
    noisy=submissions.NOISY,
    wrong=submissions.WRONG,
    cheats=submissions.CHEATS,
    parrots=submissions.PARROTS,
)
