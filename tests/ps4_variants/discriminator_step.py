"""Exercise 2: one step of the discriminator."""

import math

import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_discriminator_step

exercise = Exercise("discriminator_step", check_discriminator_step)
right, bug = exercise.right, exercise.bug


@right("softplus, detached")
def _(generator, discriminator, optimizer, real, z):
    fake = generator(z).detach()
    loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@right("labels 1 and 0, under no_grad")
def _(generator, discriminator, optimizer, real, z):
    optimizer.zero_grad(set_to_none=False)
    with torch.no_grad():
        fake = generator(z)
    of_real, of_fake = discriminator(real), discriminator(fake)
    loss = F.binary_cross_entropy_with_logits(of_real, torch.ones_like(of_real))
    loss = loss + F.binary_cross_entropy_with_logits(of_fake, torch.zeros_like(of_fake))
    loss.backward()
    optimizer.step()
    return loss.item()


@right("one call for all, logsigmoid")
def _(generator, discriminator, optimizer, real, z):
    fake = generator(z).detach()
    score = discriminator(torch.cat([real, fake]))
    loss = -F.logsigmoid(score[: len(real)]).mean() - F.logsigmoid(-score[len(real) :]).mean()
    discriminator.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss)


@right("two calls of backward, which add up")
def _(generator, discriminator, optimizer, real, z):
    optimizer.zero_grad()
    of_real = torch.nn.BCEWithLogitsLoss()(discriminator(real), torch.ones(len(real)))
    of_real.backward()
    of_fake = torch.nn.BCEWithLogitsLoss()(discriminator(generator(z).detach()), torch.zeros(len(z)))
    of_fake.backward()
    optimizer.step()
    return of_real.detach() + of_fake.detach()


@right("autograd.grad, weights for each image")
def _(generator, discriminator, optimizer, real, z):
    with torch.no_grad():
        images = torch.cat([real, generator(z)])
    sign = torch.cat([-torch.ones(len(real)), torch.ones(len(z))])
    share = torch.cat([torch.full((len(real),), 1 / len(real)), torch.full((len(z),), 1 / len(z))])
    loss = (share * F.softplus(sign * discriminator(images))).sum()
    parameters = list(discriminator.parameters())
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = g
    optimizer.step()
    return loss.detach().numpy()


@right("only the discriminator's gradients are asked for, gradients forgotten afterwards as well")
def _(generator, discriminator, optimizer, real, z):
    optimizer.zero_grad()
    one = torch.logaddexp(torch.zeros(len(real)), -discriminator(real)).mean()
    other = torch.logaddexp(torch.zeros(len(z)), discriminator(generator(z))).mean()
    (one + other).backward(inputs=list(discriminator.parameters()))
    optimizer.step()
    optimizer.zero_grad()
    return one.item() + other.item()


def logistic(of_real, of_fake):
    return F.softplus(-of_real).mean() + F.softplus(of_fake).mean()


def step(generator, discriminator, optimizer, real, z, loss_of=logistic, zero=True, detach=True, update=None):
    """The right answer with one part replaced."""
    fake = generator(z)
    loss = loss_of(discriminator(real), discriminator(fake.detach() if detach else fake))
    if zero:
        optimizer.zero_grad()
    loss.backward()
    (update or optimizer.step)()
    return loss.item()


def with_loss(what, says):
    """A bug that is another loss."""
    return lambda loss_of: bug(what, says)(lambda *inputs: step(*inputs, loss_of=loss_of))


@with_loss("labels swapped", "The labels are swapped")
def _(of_real, of_fake):
    return F.softplus(of_real).mean() + F.softplus(-of_fake).mean()


@with_loss("real images only", "Only the real image counts")
def _(of_real, of_fake):
    return F.softplus(-of_real).mean()


@with_loss("fakes only", "Only the fake counts")
def _(of_real, of_fake):
    return F.softplus(of_fake).mean()


@with_loss("all taken for fakes", "The real image is taken for a fake")
def _(of_real, of_fake):
    return F.softplus(of_real).mean() + F.softplus(of_fake).mean()


@with_loss("all taken for real images", "The fake is taken for a real image")
def _(of_real, of_fake):
    return F.softplus(-of_real).mean() + F.softplus(-of_fake).mean()


@with_loss("half of it", "This is half of it")
def _(of_real, of_fake):
    return logistic(of_real, of_fake) / 2


@with_loss("the sign", "The sign is wrong")
def _(of_real, of_fake):
    return -logistic(of_real, of_fake)


@with_loss("bits", "This is in bits")
def _(of_real, of_fake):
    return logistic(of_real, of_fake) / math.log(2)


@with_loss("σ twice", "σ is applied twice")
def _(of_real, of_fake):
    return logistic(of_real.sigmoid(), of_fake.sigmoid())


@with_loss("hinge", "This is the hinge loss")
def _(of_real, of_fake):
    return F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()


@with_loss("differences of scores", "the difference of the scores")
def _(of_real, of_fake):
    return of_fake.mean() - of_real.mean()


@with_loss("squares", "These are squares")
def _(of_real, of_fake):
    return (of_real - 1).square().mean() + of_fake.square().mean()


@with_loss("smoothed labels", "not 0.9")
def _(of_real, of_fake):
    label = torch.full_like(of_real, 0.9)
    return F.binary_cross_entropy_with_logits(of_real, label) + F.softplus(of_fake).mean()


@with_loss("sums", "These are sums")
def _(of_real, of_fake):
    return F.softplus(-of_real).sum() + F.softplus(of_fake).sum()


@with_loss("the mean over all images, twice", "the mean over each kind by itself")
def _(of_real, of_fake):
    return 2 * F.softplus(torch.cat([-of_real, of_fake])).mean()


@with_loss("sums divided by the number of real images", "the mean over each kind by itself")
def _(of_real, of_fake):
    return (F.softplus(-of_real).sum() + F.softplus(of_fake).sum()) / len(of_real)


@with_loss("logarithm of σ", "ln 0 is −∞")
def _(of_real, of_fake):
    return -of_real.sigmoid().log().mean() - (1 - of_fake.sigmoid()).log().mean()


@with_loss("a number inside the logarithm", "hides large costs")
def _(of_real, of_fake):
    return -(of_real.sigmoid() + 1e-8).log().mean() - (1 - of_fake.sigmoid() + 1e-8).log().mean()


@with_loss("binary_cross_entropy of σ", "cuts costs off at 100")
def _(of_real, of_fake):
    one = F.binary_cross_entropy(of_real.sigmoid(), torch.ones_like(of_real))
    return one + F.binary_cross_entropy(of_fake.sigmoid(), torch.zeros_like(of_fake))


@bug("the loss counts both, the gradient real images only", "Only the real image has a gradient")
def _(*inputs):
    return step(*inputs, loss_of=lambda of_real, of_fake: logistic(of_real, of_fake.detach()))


@bug("the loss counts both, the gradient fakes only", "Only the fake has a gradient")
def _(*inputs):
    return step(*inputs, loss_of=lambda of_real, of_fake: logistic(of_real.detach(), of_fake))


@bug("gradients not forgotten", "Gradients of an earlier step")
def _(*inputs):
    return step(*inputs, zero=False)


@bug("forgotten after backward", "The discriminator has not moved")
def _(generator, discriminator, optimizer, real, z):
    loss = logistic(discriminator(real), discriminator(generator(z).detach()))
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@bug("forgotten between two calls of backward", "Only the fake has a gradient")
def _(generator, discriminator, optimizer, real, z):
    of_real, of_fake = (
        F.softplus(-discriminator(real)).mean(),
        F.softplus(discriminator(generator(z).detach())).mean(),
    )
    for each in (of_real, of_fake):
        optimizer.zero_grad()
        each.backward()
    optimizer.step()
    return (of_real + of_fake).item()


@bug("no step", "The discriminator has not moved")
def _(*inputs):
    return step(*inputs, update=lambda: None)


@bug("two steps", "The step is made twice")
def _(generator, discriminator, optimizer, *inputs):
    return step(generator, discriminator, optimizer, *inputs, update=lambda: [optimizer.step() for _ in range(2)])


@bug("uphill", "The step goes uphill")
def _(generator, discriminator, optimizer, *inputs):
    def update():
        for p in discriminator.parameters():
            p.grad.neg_()
        optimizer.step()

    return step(generator, discriminator, optimizer, *inputs, update=update)


@bug("the loss after the step", "This is the loss after the step")
def _(generator, discriminator, optimizer, real, z):
    step(generator, discriminator, optimizer, real, z)
    return logistic(discriminator(real), discriminator(generator(z))).item()


@bug("fakes not detached", "leaves a gradient in the generator")
def _(*inputs):
    return step(*inputs, detach=False)


@bug("fakes not detached, the generator's gradients forgotten", "The generator's gradients are forgotten")
def _(generator, *inputs):
    loss = step(generator, *inputs, detach=False)
    generator.zero_grad()
    return loss


@bug("the generator learns, too", "The generator has moved")
def _(generator, *inputs):
    loss = step(generator, *inputs, detach=False)
    torch.optim.SGD(generator.parameters(), lr=0.1).step()
    return loss


@bug("the generator frozen for ever", "The generator is frozen for ever")
def _(generator, *inputs):
    generator.requires_grad_(False)
    return step(generator, *inputs)


@bug("the generator in evaluation mode", "the generator is in evaluation mode")
def _(generator, *inputs):
    generator.eval()
    loss = step(generator, *inputs)
    generator.train()
    return loss


@bug("the discriminator in evaluation mode", "the discriminator is in evaluation mode")
def _(generator, discriminator, *inputs):
    return step(generator, discriminator.eval(), *inputs)


@bug("left in evaluation mode", "The generator is left in evaluation mode")
def _(generator, *inputs):
    loss = step(generator, *inputs)
    generator.eval()
    return loss


@bug("no gradient at all", "stopped with RuntimeError")
def _(*inputs):
    with torch.no_grad():
        return step(*inputs)


@bug("an optimiser of its own", "The step is the given optimiser's")
def _(generator, discriminator, optimizer, *inputs):
    own = torch.optim.SGD(discriminator.parameters(), lr=optimizer.param_groups[0]["lr"])
    return step(generator, discriminator, own, *inputs)


@bug("real images and fakes, not the loss", "The loss is one number")
def _(*inputs):
    return step(*inputs), 0.0
