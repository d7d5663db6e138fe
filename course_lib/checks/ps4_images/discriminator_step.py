"""Exercise 2: one step of a discriminator. Its score is ln 3 times the only pixel, so that σ is 3/4, 9/10, 1/4, …"""

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed
from course_lib.checks.ps4_images.adversarial import (
    Discriminator,
    Generator,
    any_networks,
    gradients,
    leave_gradients,
    row,
    slope_agrees,
    step,
)

NAME = "discriminator_step"
LN3 = math.log(3)
START = np.array([LN3, 0])
MOVE = np.array([1.55, 0.65])  # the gradient of `one_of_each`: −1/4 · (1, 1) from the real image, 9/10 · (2, 1)


def check_discriminator_step(answer: Callable) -> None:
    """The answer: generator, discriminator, optimizer, real (N, C, H, W), z (M, n_latent) → the loss before the step;
    the discriminator is changed in place.

    Goodfellow et al. 2014, equation 1 and algorithm 1.
    """
    one_of_each(answer)
    means(answer)
    old_gradients(answer)
    generator_stays(answer)
    large_scores(answer)
    given_optimizer(answer)
    any_images(answer)
    passed(NAME)


def small(
    answer: Callable, real: list, z: list, discriminator: Discriminator | None = None, **more
) -> tuple[Case, float, np.ndarray]:
    """Fakes are z + 1, unless there is another generator; the score is ln 3 times the pixel."""
    discriminator = discriminator or Discriminator(LN3)
    generator = more.get("generator", Generator(1.0, 1.0))
    x = [f"{generator.scale.item() * each + generator.shift.item():g}" for each in z]
    about = f"real pixels {real}, fake pixels [{', '.join(x)}], score = {discriminator.slope.item():.4g} · pixel"
    tensors = torch.tensor(real).view(-1, 1, 1, 1), torch.tensor(z).view(-1, 1)
    about += more.get("about", "")
    networks = generator, discriminator
    return step(answer, NAME, networks, discriminator, more.get("optimizer", 1.0), tensors, about)


def softplus(x: float) -> float:
    return float(np.logaddexp(0, x))


def one_of_each(answer: Callable) -> None:
    """σ is 3/4 for the real image and 9/10 for the fake."""
    case, loss, parameters = small(answer, [1.0], [1.0])
    ln = math.log
    suspects = [
        (ln(40 / 9), "The labels are swapped: a real image costs −ln σ, a fake −ln(1 − σ)."),
        (ln(4 / 3), "Only the real image counts; the fake costs −ln(1 − σ)."),
        (ln(10), "Only the fake counts; the real image costs −ln σ."),
        (ln(40), "The real image is taken for a fake: it costs −ln σ."),
        (ln(40 / 27), "The fake is taken for a real image: it costs −ln(1 − σ)."),
        (ln(40 / 3) / 2, "This is half of it: the loss is the mean over real images plus the mean over fakes."),
        (-ln(40 / 3), "The sign is wrong: the costs are −ln σ and −ln(1 − σ), which are positive."),
        (math.log2(40 / 3), "This is in bits: use the natural logarithm."),
        (softplus(-3 / 4) + softplus(9 / 10), "σ is applied twice: `…_with_logits` and softplus want the scores."),
        (1 + 2 * LN3, "This is the hinge loss; here a real image costs −ln σ, a fake −ln(1 − σ)."),
        (LN3, "This is the difference of the scores; here a real image costs −ln σ, a fake −ln(1 − σ)."),
        ((LN3 - 1) ** 2 + 4 * LN3**2, "These are squares; here a real image costs −ln σ, a fake −ln(1 − σ)."),
        (0.9 * ln(4 / 3) + 0.1 * ln(4) + ln(10), "The label of a real image is 1, not 0.9."),
        (softplus(-LN3 + 1.55 + 0.65) + softplus(2 * (LN3 - 1.55) - 0.65), "This is the loss after the step."),
    ]
    otherwise = "The real image costs −ln 3/4, the fake −ln(1 − 9/10): ln 4/3 + ln 10."
    case.compare(loss, ln(40 / 3), otherwise, suspects, "loss")
    suspects = [
        (START, "The discriminator has not moved: `backward`, then `optimizer.step()`, and zero nothing in between."),
        (START + MOVE, "The step goes uphill: the loss must get smaller."),
        (START - 2 * MOVE, "The step is made twice."),
        (START - MOVE / 2, "The gradient is half of it: it belongs to the sum of the two means."),
        (START + 0.25, "Only the real image has a gradient; the scores of fakes need one in the discriminator, too."),
        (START - [1.8, 0.9], "Only the fake has a gradient; so must the real image."),
    ]
    otherwise = "The gradient is (−1/4 · 1 + 9/10 · 2, −1/4 + 9/10) in slope and offset."
    case.compare(parameters, START - MOVE, otherwise, suspects, "slope and offset")


def means(answer: Callable) -> None:
    """Three real images, two fakes: σ is 3/4, 3/4, 1/4, and 9/10, 1/2."""
    case, loss, parameters = small(answer, [1.0, 1.0, -1.0], [1.0, -1.0])
    of_real, of_fake = 2 * math.log(4 / 3) + math.log(4), math.log(10) + math.log(2)
    five = "Three real images and two fakes: the mean over each kind by itself, then the sum of the two."
    suspects = [
        (of_real + of_fake, "These are sums; the loss is the mean over real images plus the mean over fakes."),
        ((of_real + of_fake) / 5, five),
        ((of_real + of_fake) * 2 / 5, five),
        ((of_real + of_fake) / 3, five),
        ((of_real + of_fake) / 2, five),
    ]
    case.compare(loss, of_real / 3 + of_fake / 2, five, suspects, "loss")
    gradient = np.array([0.25 / 3 + 1.8 / 2, -1.25 / 3 + 1.4 / 2])
    case.compare(parameters, START - gradient, five, part="slope and offset")


def old_gradients(answer: Callable) -> None:
    discriminator = Discriminator(LN3)
    leave_gradients(discriminator, 10.0, 20.0)
    about = ", gradients of 10 and 20 left in the discriminator"
    case, _, parameters = small(answer, [1.0], [1.0], discriminator, about=about)
    left = "Gradients of an earlier step are still there: `backward` adds to them. Forget them first."
    case.compare(parameters, START - MOVE, left, part="slope and offset")
    discriminator = Discriminator(0.0)

    def twice(*inputs) -> object:
        answer(*inputs)
        with torch.no_grad():
            for p in discriminator.parameters():
                p.zero_()
        return answer(*inputs)

    about = ", called twice, put back in between"
    case, _, parameters = small(twice, [4.0], [1.0], discriminator, about=about)
    case.compare(parameters, [1, 0], left, part="slope and offset")


def generator_stays(answer: Callable) -> None:
    generator = Generator(1.0, 1.0)
    case, _, _ = small(answer, [1.0], [1.0], generator=generator)
    filled = "The step leaves a gradient in the generator: cut it off with `detach()`, or make fakes under `no_grad`."
    case.compare(row(generator).numpy(), [1, 1], "The generator has moved: this is the discriminator's step.")
    case.compare(gradients(generator), [np.nan, np.nan], filled, part="`grad` of the generator (nan: none)")
    leave_gradients(generator, 5.0, 7.0)
    about = ", gradients of 5 and 7 left in the generator"
    case, _, _ = small(answer, [1.0], [1.0], generator=generator, about=about)
    got = gradients(generator)
    gone = "The generator's gradients are forgotten; they are none of this step's business."
    suspects = [(lambda got: np.isnan(got).any() or not got.any(), gone)]
    case.compare(got, [5, 7], filled, suspects, "`grad` of the generator (nan: none)")
    if not all(p.requires_grad for p in generator.parameters()):
        case.fail("The generator is frozen for ever: its parameters must still require a gradient.", False, True)


def large_scores(answer: Callable) -> None:
    for slope, offset in ((1e5, -1.0), (-1e5, 1.0)):
        discriminator = Discriminator(slope)
        case, loss, parameters = small(answer, [1.0], [0.0], discriminator)
        infinite = "ln 0 is −∞: use `F.softplus`, `F.logsigmoid` or `…_with_logits`, which take the score itself."
        suspects = [(100, "`binary_cross_entropy` cuts costs off at 100: use the one `…_with_logits`.")]
        suspects += [(lambda got: got < 50, "A number added inside the logarithm hides large costs: take the scores.")]
        case.compare(loss, 1e5, infinite, suspects, "loss")
        case.compare(parameters[1], offset, "A score that is wrong by far has a gradient of ±1.", part="offset")


def given_optimizer(answer: Callable) -> None:
    """Adam's first step is as long as its learning rate in each parameter, whatever the gradient is."""
    discriminator = Discriminator(LN3)
    adam = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    about = ", Adam with learning rate 0.01"
    case, _, parameters = small(answer, [1.0], [1.0], discriminator, optimizer=adam, about=about)
    otherwise = "The step is the given optimiser's: `optimizer.step()`, once. Adam's first step is 0.01 in each number."
    case.compare(parameters, START - 0.01, otherwise, part="slope and offset")


def any_images(answer: Callable) -> None:
    """What must hold for any networks and images."""
    random = torch.Generator().manual_seed(3)
    real, z, lr = torch.randn(5, 2, 3, 4, generator=random), torch.randn(3, 6, generator=random), 0.01
    about = "5 real images (2, 3, 4), z (3, 6), any networks"
    networks = any_networks()
    before = row(networks[1]).double().numpy()
    case, loss, after = step(answer, NAME, networks, networks[1], lr, (real, z), about)
    _, second, _ = step(answer, NAME, networks, networks[1], lr, (real, z), about)
    slope_agrees(case, loss, second, after - before, lr)
    again = any_networks()
    case, twice, moved = step(answer, NAME, again, again[1], lr, (torch.cat([real, real]), z), about)
    otherwise = "Each real image twice, each fake once: both means stay, and so must the loss."
    case.compare(twice, loss, otherwise, part="loss")
    case.compare(moved, after, otherwise.replace("the loss", "the step"), part="parameters after the step")
