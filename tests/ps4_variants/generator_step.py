"""Exercise 3: one step of the generator."""

import math

import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_generator_step

exercise = Exercise("generator_step", check_generator_step)
right, bug = exercise.right, exercise.bug


@right("softplus")
def _(generator, discriminator, optimizer, z):
    loss = F.softplus(-discriminator(generator(z))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@right("labels 1")
def _(generator, discriminator, optimizer, z):
    optimizer.zero_grad(set_to_none=False)
    score = discriminator(generator(z))
    loss = F.binary_cross_entropy_with_logits(score, torch.ones_like(score))
    loss.backward()
    optimizer.step()
    return loss.item()


@right("the discriminator frozen meanwhile")
def _(generator, discriminator, optimizer, z):
    discriminator.requires_grad_(False)
    loss = -F.logsigmoid(discriminator(generator(z))).mean()
    generator.zero_grad()
    loss.backward()
    optimizer.step()
    discriminator.requires_grad_(True)
    return float(loss)


@right("autograd.grad of the generator's parameters")
def _(generator, discriminator, optimizer, z):
    parameters = list(generator.parameters())
    score = discriminator(generator(z))
    loss = torch.logaddexp(torch.zeros(len(z)), -score).sum() / len(z)
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = g
    optimizer.step()
    return loss.detach().numpy()


@right("both networks' gradients forgotten, before and after")
def _(generator, discriminator, optimizer, z):
    generator.zero_grad(), discriminator.zero_grad()
    loss = F.binary_cross_entropy_with_logits(discriminator(generator(z)), torch.ones(len(z)))
    loss.backward()
    optimizer.step()
    generator.zero_grad(), discriminator.zero_grad()
    return loss.item()


@right("the chain rule in two pieces")
def _(generator, discriminator, optimizer, z):
    fake = generator(z)
    seen = fake.detach().requires_grad_()
    loss = F.softplus(-discriminator(seen)).mean()
    (slope,) = torch.autograd.grad(loss, seen)
    optimizer.zero_grad()
    fake.backward(slope)
    optimizer.step()
    return loss.item()


def non_saturating(score):
    return F.softplus(-score).mean()


def step(generator, discriminator, optimizer, z, loss_of=non_saturating, zero=True, update=None, said=None):
    """The right answer with one part replaced; said: the loss that is returned, where it is another one."""
    score = discriminator(generator(z))
    loss = loss_of(score)
    if zero:
        optimizer.zero_grad()
    loss.backward()
    (update or optimizer.step)()
    return (said(score) if said else loss).item()


def with_loss(what, says):
    """A bug that is another loss."""
    return lambda loss_of: bug(what, says)(lambda *inputs: step(*inputs, loss_of=loss_of))


@with_loss("saturating", "This is the saturating loss")
def _(score):
    return -F.softplus(score).mean()


@with_loss("labels swapped", "The labels are swapped")
def _(score):
    return F.softplus(score).mean()


@with_loss("the sign", "The sign is wrong")
def _(score):
    return F.logsigmoid(score).mean()


@with_loss("bits", "This is in bits")
def _(score):
    return non_saturating(score) / math.log(2)


@with_loss("minus the score", "This is minus the score")
def _(score):
    return -score.mean()


@with_loss("the score", "This is the score")
def _(score):
    return score.mean()


@with_loss("σ twice", "σ is applied twice")
def _(score):
    return non_saturating(score.sigmoid())


@with_loss("squares", "This is a square")
def _(score):
    return (score - 1).square().mean()


@with_loss("half of it", "This is half of the loss")
def _(score):
    return non_saturating(score) / 2


@with_loss("sum", "This is the sum")
def _(score):
    return F.softplus(-score).sum()


@with_loss("the first fake only", "Only the first fake counts")
def _(score):
    return F.softplus(-score[0])


@with_loss("the cost of the mean score", "This is the cost of the mean score")
def _(score):
    return F.softplus(-score.mean())


@with_loss("logarithm of σ", "ln 0 is −∞")
def _(score):
    return -score.sigmoid().log().mean()


@with_loss("a number inside the logarithm", "hides large costs")
def _(score):
    return -(score.sigmoid() + 1e-8).log().mean()


@with_loss("binary_cross_entropy of σ", "cuts costs off at 100")
def _(score):
    return F.binary_cross_entropy(score.sigmoid(), torch.ones_like(score))


@bug("the right loss, the gradient of the saturating one", "the gradient of the saturating loss")
def _(*inputs):
    return step(*inputs, loss_of=lambda score: -F.softplus(score).mean(), said=non_saturating)


@bug("the right loss, labels swapped in the gradient", "The labels are swapped in what has the gradient")
def _(*inputs):
    return step(*inputs, loss_of=lambda score: F.softplus(score).mean(), said=non_saturating)


@bug("the right loss, the gradient of minus the score", "the gradient of minus the score")
def _(*inputs):
    return step(*inputs, loss_of=lambda score: -score.mean(), said=non_saturating)


@bug("the gradient of a sum", "The gradient belongs to the mean over the fakes")
def _(*inputs):
    return step(*inputs, loss_of=lambda score: F.softplus(-score).sum(), said=non_saturating)


@bug("fakes detached", "The generator has not moved")
def _(generator, discriminator, optimizer, z):
    loss = non_saturating(discriminator(generator(z).detach()))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@bug("fakes made under no_grad", "The generator has not moved")
def _(generator, discriminator, optimizer, z):
    with torch.no_grad():
        fake = generator(z)
    return step(lambda z: fake, discriminator, optimizer, z)


@bug("the discriminator under no_grad", "stopped with RuntimeError")
def _(generator, discriminator, optimizer, z):
    with torch.no_grad():
        return step(generator, discriminator, optimizer, z)


@bug("gradients not forgotten", "Gradients of an earlier step")
def _(*inputs):
    return step(*inputs, zero=False)


@bug("the discriminator's gradients forgotten instead", "Gradients of an earlier step")
def _(generator, discriminator, *inputs):
    discriminator.zero_grad()
    return step(generator, discriminator, *inputs, zero=False)


@bug("forgotten after backward", "The generator has not moved")
def _(generator, discriminator, optimizer, z):
    loss = non_saturating(discriminator(generator(z)))
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@bug("no step", "The generator has not moved")
def _(*inputs):
    return step(*inputs, update=lambda: None)


@bug("two steps", "The step is made twice")
def _(generator, discriminator, optimizer, z):
    return step(generator, discriminator, optimizer, z, update=lambda: [optimizer.step() for _ in range(2)])


@bug("uphill", "The step goes uphill")
def _(generator, discriminator, optimizer, z):
    def update():
        for p in generator.parameters():
            p.grad.neg_()
        optimizer.step()

    return step(generator, discriminator, optimizer, z, update=update)


@bug("the loss after the step", "This is the loss after the step")
def _(generator, discriminator, optimizer, z):
    step(generator, discriminator, optimizer, z)
    return non_saturating(discriminator(generator(z))).item()


@bug("the discriminator learns to be fooled", "The discriminator has moved")
def _(generator, discriminator, optimizer, z):
    discriminator.zero_grad()
    loss = step(generator, discriminator, optimizer, z)
    torch.optim.SGD(discriminator.parameters(), lr=0.1).step()
    return loss


@bug("the discriminator frozen for ever", "The discriminator is frozen for ever")
def _(generator, discriminator, *inputs):
    return step(generator, discriminator.requires_grad_(False), *inputs)


@bug("the generator in evaluation mode", "the generator is in evaluation mode")
def _(generator, *inputs):
    loss = step(generator.eval(), *inputs)
    generator.train()
    return loss


@bug("the discriminator in evaluation mode", "the discriminator is in evaluation mode")
def _(generator, discriminator, *inputs):
    return step(generator, discriminator.eval(), *inputs)


@bug("the discriminator left in evaluation mode", "The discriminator is left in evaluation mode")
def _(generator, discriminator, *inputs):
    loss = step(generator, discriminator, *inputs)
    discriminator.eval()
    return loss


@bug("an optimiser of its own", "The step is the given optimiser's")
def _(generator, discriminator, optimizer, z):
    own = torch.optim.SGD(generator.parameters(), lr=optimizer.param_groups[0]["lr"])
    return step(generator, discriminator, own, z)


@bug("the scores instead of the loss", "The loss is one number")
def _(generator, discriminator, optimizer, z):
    step(generator, discriminator, optimizer, z)
    return discriminator(generator(z))
