"""For each exercise of problem set 4: answers that are right, each in another way, and classic bugs."""

from variants import ProblemSet

from ps4_variants import (
    convolve,
    critic,
    density_coverage,
    discriminator_step,
    frechet,
    generator_step,
    instance_norm,
    submissions,
)

MODULES = (convolve, discriminator_step, generator_step, frechet, instance_norm, density_coverage, critic)
PS4 = ProblemSet(
    "ps4_images",
    [each.exercise for each in MODULES],
    noisy=submissions.NOISY,
    wrong=submissions.WRONG,
    cheats=submissions.CHEATS,
    parrots=submissions.PARROTS,
)
