"""Checks of problem set 4: convolution, the two steps of a GAN, normalisation, and what a crowd of images is worth."""

from course_lib.checks.ps4_images.convolve import check_convolve
from course_lib.checks.ps4_images.critic import check_critic_gradient
from course_lib.checks.ps4_images.density_coverage import check_density_and_coverage
from course_lib.checks.ps4_images.discriminator_step import check_discriminator_step
from course_lib.checks.ps4_images.frechet import check_frechet_1d
from course_lib.checks.ps4_images.generator_step import check_generator_step
from course_lib.checks.ps4_images.instance_norm import check_conditional_instance_norm

__all__ = [  # in the order of the exercises
    "check_convolve",
    "check_discriminator_step",
    "check_generator_step",
    "check_frechet_1d",
    "check_conditional_instance_norm",
    "check_density_and_coverage",
    "check_critic_gradient",
]
