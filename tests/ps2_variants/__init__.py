"""For each exercise of problem set 2: answers that are right, each in another way, and classic bugs."""

from variants import ProblemSet

from ps2_variants import (
    attention,
    linear_attention,
    masks,
    multi_head,
    relative_bias,
    several_sources,
    sliding_window,
    submissions,
)

MODULES = (attention, masks, multi_head, sliding_window, linear_attention, relative_bias, several_sources)
PS2 = ProblemSet(
    "ps2_attention",
    [each.exercise for each in MODULES],
    noisy=submissions.NOISY,
    wrong=submissions.WRONG,
    cheats=submissions.CHEATS,
    parrots=submissions.PARROTS,
)
