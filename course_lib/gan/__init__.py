"""Generative adversarial networks: two networks, what each wants, and the step that trains both."""

from course_lib.gan.ema import EMA
from course_lib.gan.judge import Judge, Judgement, draw
from course_lib.gan.networks import Discriminator, Generator
from course_lib.gan.step import AdversarialStep

__all__ = ["EMA", "AdversarialStep", "Discriminator", "Generator", "Judge", "Judgement", "draw"]
