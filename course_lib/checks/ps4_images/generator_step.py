"""Exercise 3: one step of a generator. The discriminator's score falls by 1 for each unit of the only pixel."""

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.checks.case import Case, passed
from course_lib.checks.ps4_images.adversarial import (
    Discriminator,
    Generator,
    any_networks,
    leave_gradients,
    row,
    slope_agrees,
    step,
)

NAME = "generator_step"
LN3 = math.log(3)
START = np.array([0, LN3])
MOVE = np.array([1.5, 0.75])  # the gradient of `one_fake`: 3/4 in the pixel, which is scale · 2 + shift


def check_generator_step(answer: Callable) -> None:
    """The answer: generator, discriminator, optimizer, z (N, n_latent) → the loss before the step; the generator is
    changed in place.

    The non-saturating loss: Goodfellow et al. 2014, section 3.
    """
    one_fake(answer)
    means(answer)
    discriminator_stays(answer)
    old_gradients(answer)
    large_scores(answer)
    given_optimizer(answer)
    any_networks_of_all(answer)
    passed(NAME)


def small(
    answer: Callable, z: list, generator: Generator, discriminator: Discriminator, optimizer: object = 1.0, more=""
) -> tuple[Case, float, np.ndarray]:
    with torch.no_grad():
        score = discriminator(generator(torch.tensor(z).view(-1, 1))).tolist()
    about = f"z = {z}, pixel = {generator.scale.item():.4g} · z + {generator.shift.item():.4g}, "
    about += f"scores [{', '.join(f'{each:.5g}' for each in score)}]{more}"
    networks = generator, discriminator
    return step(answer, NAME, networks, generator, optimizer, (torch.tensor(z).view(-1, 1),), about)


def first(answer: Callable, generator: Generator | None = None, **more) -> tuple[Case, float, np.ndarray]:
    """z = 2, pixel ln 3, score −ln 3: σ is 1/4."""
    return small(answer, [2.0], generator or Generator(0.0, LN3), Discriminator(-1.0), **more)


def one_fake(answer: Callable) -> None:
    case, loss, parameters = first(answer)
    ln = math.log
    suspects = [
        (ln(3 / 4), "This is the saturating loss, ln(1 − σ); the non-saturating one is −ln σ."),
        (ln(4 / 3), "The labels are swapped: this is the discriminator's cost of a fake. The generator pays −ln σ."),
        (-ln(4), "The sign is wrong: −ln σ is positive."),
        (2, "This is in bits: use the natural logarithm."),
        (ln(3), "This is minus the score; the cost is −ln σ(score)."),
        (-ln(3), "This is the score; the cost is −ln σ(score)."),
        (float(np.logaddexp(0, -1 / 4)), "σ is applied twice: `…_with_logits` and softplus want the scores."),
        ((ln(3) + 1) ** 2, "This is a square; the cost is −ln σ(score)."),
        (ln(4) / 2, "This is half of the loss; it is the mean over the fakes."),
        (float(np.logaddexp(0, ln(3) - 3.75)), "This is the loss after the step."),
    ]
    case.compare(loss, ln(4), "The score is −ln 3, so σ = 1/4, and the cost is −ln 1/4.", suspects, "loss")
    suspects = [
        (START, "The generator has not moved: do not detach the fakes; `backward`, then `optimizer.step()`."),
        (START - MOVE / 3, "This is the gradient of the saturating loss, σ in place of 1 − σ."),
        (START + MOVE / 3, "The labels are swapped in what has the gradient: the generator wants σ to grow."),
        (START + MOVE, "The step goes uphill: the loss must get smaller."),
        (START - 2 * MOVE, "The step is made twice."),
        (START - MOVE / 2, "The gradient is half of it: it belongs to the loss that you return."),
        (START - [2, 1], "This is the gradient of minus the score; the cost is −ln σ."),
    ]
    otherwise = "The gradient is 3/4 in the pixel, so 3/4 · 2 in the scale and 3/4 in the shift."
    case.compare(parameters, START - MOVE, otherwise, suspects, "scale and shift")


def means(answer: Callable) -> None:
    """Pixel = z, score = ln 3 · z: σ is 3/4, 1/4, 9/10."""
    case, loss, parameters = small(answer, [1.0, -1.0, 2.0], Generator(1.0, 0.0), Discriminator(LN3))
    costs = np.log([4 / 3, 4, 10 / 9])
    suspects = [
        (costs.sum(), "This is the sum; the loss is the mean over the fakes."),
        (costs[0], "Only the first fake counts; the loss is the mean over all."),
        (costs[2], "Only the last fake counts; the loss is the mean over all."),
        (math.log1p(math.exp(-LN3 * 2 / 3)), "This is the cost of the mean score; take the mean of the costs."),
    ]
    case.compare(
        loss, costs.mean(), "The costs are ln 4/3, ln 4 and ln 10/9; the loss is their mean.", suspects, "loss"
    )
    expected = np.array([1, 0]) - LN3 / 3 * np.array([-0.25 + 0.75 - 0.2, -1.1])
    case.compare(parameters, expected, "The gradient belongs to the mean over the fakes.", part="scale and shift")


def old_gradients(answer: Callable) -> None:
    generator = Generator(0.0, LN3)
    leave_gradients(generator, 10.0, 20.0)
    case, _, parameters = first(answer, generator, more=", gradients of 10 and 20 left in the generator")
    left = "Gradients of an earlier step are still there: `backward` adds to them. Forget them first."
    case.compare(parameters, START - MOVE, left, part="scale and shift")
    generator = Generator(0.0, LN3)

    def twice(*inputs) -> object:
        answer(*inputs)
        with torch.no_grad():
            generator.scale.fill_(0)
            generator.shift.fill_(LN3)
        return answer(*inputs)

    case, _, parameters = first(twice, generator, more=", called twice, put back in between")
    case.compare(parameters, START - MOVE, left, part="scale and shift")


def discriminator_stays(answer: Callable) -> None:
    """Its `grad` may hold anything: its own step forgets that first."""
    discriminator = Discriminator(-1.0)
    leave_gradients(discriminator, 5.0, 7.0)
    more = ", gradients of 5 and 7 left in the discriminator"
    case, _, parameters = small(answer, [2.0], Generator(0.0, LN3), discriminator, more=more)
    otherwise = "The discriminator has moved: this is the generator's step, and the optimiser is the generator's."
    case.compare(row(discriminator).numpy(), [-1, 0], otherwise, part="slope and offset of the discriminator")
    if not all(p.requires_grad for p in discriminator.parameters()):
        frozen = "The discriminator is frozen for ever: its parameters must require a gradient again afterwards."
        case.fail(frozen, "requires_grad = False")
    case.compare(parameters, START - MOVE, "What is left in the discriminator must not matter.", part="scale and shift")


def large_scores(answer: Callable) -> None:
    for offset, cost, shift in ((-1e5, 1e5, 1.0), (1e5, 0.0, 0.0)):
        case, loss, parameters = small(answer, [1.0], Generator(0.0, 0.0), Discriminator(1.0, offset))
        infinite = "ln 0 is −∞: use `F.softplus`, `F.logsigmoid` or `…_with_logits`, which take the score itself."
        suspects = [
            (100, "`binary_cross_entropy` cuts costs off at 100: use the one `…_with_logits`."),
            (lambda got, cost=cost: cost > 50 > got, "A number added inside the logarithm hides large costs."),
        ]
        case.compare(loss, cost, infinite, suspects, "loss")
        otherwise = "A score of −100000 has a gradient of −1, one of 100000 has none."
        case.compare(parameters[1], shift, otherwise, part="shift")


def given_optimizer(answer: Callable) -> None:
    """Adam's first step is as long as its learning rate in each parameter, whatever the gradient is."""
    generator = Generator(0.0, LN3)
    adam = torch.optim.Adam(generator.parameters(), lr=0.01)
    case, _, parameters = first(answer, generator, optimizer=adam, more=", Adam with learning rate 0.01")
    otherwise = "The step is the given optimiser's: `optimizer.step()`, once. Adam's first step is 0.01 in each number."
    case.compare(parameters, START - 0.01, otherwise, part="scale and shift")


def any_networks_of_all(answer: Callable) -> None:
    """What must hold for any networks."""
    z, lr = torch.randn(3, 6, generator=torch.Generator().manual_seed(4)), 0.01
    about = "z (3, 6), images (2, 3, 4), any networks"
    networks = any_networks()
    before = row(networks[0]).double().numpy()
    case, loss, after = step(answer, NAME, networks, networks[0], lr, (z,), about)
    _, second, _ = step(answer, NAME, networks, networks[0], lr, (z,), about)
    slope_agrees(case, loss, second, after - before, lr)
    again = any_networks()
    case, twice, moved = step(answer, NAME, again, again[0], lr, (torch.cat([z, z]),), about + ", each z twice")
    otherwise = "Each z twice: the mean stays, and so must the loss."
    case.compare(twice, loss, otherwise, part="loss")
    case.compare(moved, after, otherwise.replace("the loss", "the step"), part="parameters after the step")
