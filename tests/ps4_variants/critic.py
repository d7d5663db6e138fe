"""Exercise 7: loss and gradient of a critic with gradient penalty."""

import torch
from torch.nn import functional as F
from variants.registry import Exercise

from course_lib.checks.ps4_images import check_critic_gradient

exercise = Exercise("critic_gradient", check_critic_gradient)
right, bug = exercise.right, exercise.bug


@right("create_graph, backward")
def _(critic, real, fake, t, weight):
    t = t[:, None, None, None]
    place = (t * real + (1 - t) * fake).requires_grad_(True)
    slope = torch.autograd.grad(critic(place).sum(), place, create_graph=True)[0]
    penalty = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    loss = -critic(real).mean() + critic(fake).mean() + weight * penalty
    critic.zero_grad()
    loss.backward()
    return loss, [p.grad for p in critic.parameters()]


@right("autograd.grad of the parameters")
def _(critic, real, fake, t, weight):
    place = torch.lerp(fake, real, t.view(-1, 1, 1, 1)).requires_grad_()
    score = critic(place)
    slope = torch.autograd.grad(score, place, grad_outputs=torch.ones_like(score), create_graph=True)[0]
    norm = slope.square().sum((1, 2, 3)).sqrt()
    loss = (critic(fake) - critic(real) + weight * (norm - 1).square()).mean()
    return loss.item(), list(torch.autograd.grad(loss, list(critic.parameters())))


@right("image by image, gradients added up")
def _(critic, real, fake, t, weight):
    parameters = list(critic.parameters())
    total, sums = 0.0, [torch.zeros_like(p) for p in parameters]
    for x, y, share in zip(real, fake, t, strict=True):
        place = (share * x + (1 - share) * y)[None].requires_grad_()
        (slope,) = torch.autograd.grad(critic(place)[0], place, create_graph=True)
        loss = critic(y[None])[0] - critic(x[None])[0] + weight * (slope.norm() - 1) ** 2
        total += loss.item() / len(real)
        sums = [a + b / len(real) for a, b in zip(sums, torch.autograd.grad(loss, parameters), strict=True)]
    return total, sums


@right("two calls of backward, old gradients set to None")
def _(critic, real, fake, t, weight):
    for p in critic.parameters():
        p.grad = None
    scores = critic(fake).mean() - critic(real).mean()
    scores.backward()
    share = t.reshape(-1, 1, 1, 1)
    place = share * real + (1 - share) * fake
    place.requires_grad = True
    (slope,) = torch.autograd.grad(critic(place).sum(), place, create_graph=True)
    penalty = weight * (torch.linalg.vector_norm(slope, dim=(1, 2, 3)) - 1).pow(2).mean()
    penalty.backward()
    return (scores + penalty).detach().numpy(), tuple(p.grad.clone() for p in critic.parameters())


@right("vmap of grad, functional")
def _(critic, real, fake, t, weight):
    parameters = {name: p.detach() for name, p in critic.named_parameters()}

    def score(parameters, image):
        return torch.func.functional_call(critic, parameters, (image[None],))[0]

    def loss_of(parameters):
        share = t.view(-1, 1, 1, 1)
        slope = torch.vmap(torch.func.grad(score, argnums=1), (None, 0))(parameters, share * real + (1 - share) * fake)
        scores = torch.func.functional_call(critic, parameters, (torch.cat([fake, real]),))
        return (
            scores[: len(t)].mean()
            - scores[len(t) :].mean()
            + weight * (slope.flatten(1).norm(dim=1) - 1).pow(2).mean()
        )

    gradients, loss = torch.func.grad_and_value(loss_of)(parameters)
    return loss, [gradients[name].tolist() for name, _ in critic.named_parameters()]


@right("one call of the critic for all three")
def _(critic, real, fake, t, weight):
    n, share = len(t), t.view(-1, 1, 1, 1)
    images = torch.cat([real, fake, fake + share * (real - fake)]).requires_grad_()
    score = critic(images)
    (slope,) = torch.autograd.grad(score[2 * n :].sum(), images, create_graph=True)
    penalty = sum((slope[2 * n + i].norm() - 1) ** 2 for i in range(n)) / n
    loss = score[n : 2 * n].mean() - score[:n].mean() + weight * penalty
    critic.zero_grad(set_to_none=False)
    loss.backward()
    return float(loss), [p.grad.detach().numpy() for p in critic.parameters()]


def norms(slope):
    return slope.flatten(1).norm(dim=1)


def two_sided(norm):
    return (norm - 1).square().mean()


def between(real, fake, t):
    t = t.view(-1, 1, 1, 1)
    return t * real + (1 - t) * fake


def scores_of(of_real, of_fake):
    return of_fake.mean() - of_real.mean()


def loss_of(
    critic,
    real,
    fake,
    t,
    weight,
    place=between,
    norm=norms,
    cost=two_sided,
    scores=scores_of,
    total=torch.sum,
    graph=True,
):
    """The right loss with one part replaced."""
    here = place(real, fake, t).detach().requires_grad_()
    (slope,) = torch.autograd.grad(total(critic(here)), here, create_graph=graph)
    return scores(critic(real), critic(fake)) + weight * cost(norm(slope))


def gradients(critic, loss):
    critic.zero_grad()
    loss.backward()
    return [p.grad for p in critic.parameters()]


def wrong(critic, *inputs, **more):
    loss = loss_of(critic, *inputs, **more)
    return loss.item(), gradients(critic, loss)


@bug("no create_graph", "`create_graph=True`")
def _(*inputs):
    return wrong(*inputs, graph=False)


@bug("the slope detached", "`create_graph=True`")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: norms(slope.detach()))


@bug("signs of the scores swapped", "Real and fake are swapped")
def _(*inputs):
    return wrong(*inputs, scores=lambda of_real, of_fake: of_real.mean() - of_fake.mean())


@bug("everything upside down", "this is minus the loss")
def _(*inputs):
    critic, loss = inputs[0], -loss_of(*inputs)
    return loss.item(), gradients(critic, loss)


@bug("the penalty subtracted", "The penalty is added")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: -two_sided(norm))


@bug("no penalty", "The penalty is missing")
def _(critic, real, fake, t, weight):
    return wrong(critic, real, fake, t, 0.0)


@bug("only the penalty", "The scores are missing")
def _(*inputs):
    return wrong(*inputs, scores=lambda of_real, of_fake: 0.0)


@bug("norm²", "you take norm²")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: norm.square().mean())


@bug("norm² − 1", "you take norm² − 1")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: (norm.square() - 1).mean())


@bug("(norm² − 1)²", "the norm itself is squared")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.flatten(1).square().sum(1))


@bug("|norm − 1|", "square it")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: (norm - 1).abs().mean())


@bug("one-sided", "on both sides of 1")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: F.relu(norm - 1).square().mean())


@bug("sum of absolute numbers", "not the sum of absolute numbers")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.flatten(1).abs().sum(1))


@bug("root of the mean square", "not of their mean")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.flatten(1).square().mean(1).sqrt())


@bug("no weight", "The weight of the penalty is missing")
def _(critic, real, fake, t, weight):
    return wrong(critic, real, fake, t, 1.0)


@bug("half of the weight", "The weight of the penalty is halved")
def _(critic, real, fake, t, weight):
    return wrong(critic, real, fake, t, weight / 2)


@bug("the norm over channels of each pixel", "over all its pixels")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.norm(dim=1))


@bug("the norm over channels, where there are several", "over channels alone")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.norm(dim=1) if slope.shape[1] > 1 else norms(slope))


@bug("the norm of each channel", "over the pixels of a channel alone")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.flatten(2).norm(dim=2))


@bug("the norms of columns", "over columns alone")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.norm(dim=3))


@bug("one norm of the whole batch", "one norm of the whole batch")
def _(*inputs):
    return wrong(*inputs, norm=torch.norm)


@bug("the norm over the batch", "over all its pixels")
def _(*inputs):
    return wrong(*inputs, norm=lambda slope: slope.norm(dim=0))


@bug("the slope of the mean score", "the gradient of the mean score")
def _(*inputs):
    return wrong(*inputs, total=torch.mean)


@bug("sum of penalties", "the sum of the penalties")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: (norm - 1).square().sum())


@bug("mean of the norms first", "The norms are averaged first")
def _(*inputs):
    return wrong(*inputs, cost=lambda norm: (norm.mean() - 1).square())


@bug("sums of scores", "These are sums of scores")
def _(*inputs):
    return wrong(*inputs, scores=lambda of_real, of_fake: of_fake.sum() - of_real.sum())


@bug("logistic costs", "These are logistic costs")
def _(*inputs):
    return wrong(*inputs, scores=lambda of_real, of_fake: F.softplus(-of_real).mean() + F.softplus(of_fake).mean())


@bug("at real images", "taken at the real image")
def _(*inputs):
    return wrong(*inputs, place=lambda real, fake, t: real)


@bug("at fakes", "taken at the fake")
def _(*inputs):
    return wrong(*inputs, place=lambda real, fake, t: fake)


@bug("half-way", "taken half-way")
def _(*inputs):
    return wrong(*inputs, place=lambda real, fake, t: (real + fake) / 2)


@bug("t for the fake", "t is the share of the real image")
def _(*inputs):
    return wrong(*inputs, place=lambda real, fake, t: between(fake, real, t))


@bug("draws t itself", "x̂ follows from the given t")
def _(*inputs):
    random = torch.Generator().manual_seed(0)
    return wrong(*inputs, place=lambda real, fake, t: between(real, fake, torch.rand(len(t), generator=random)))


@bug("t along the columns", "stopped with")
def _(*inputs):
    return wrong(*inputs, place=lambda real, fake, t: t * real + (1 - t) * fake)


@bug("t along the columns, where it fits", "t goes along the columns")
def _(*inputs):
    def place(real, fake, t):
        return t * real + (1 - t) * fake if len(t) == real.shape[3] else between(real, fake, t)

    return wrong(*inputs, place=place)


@bug("gradients not forgotten", "Gradients of an earlier step")
def _(critic, *inputs):
    loss = loss_of(critic, *inputs)
    loss.backward()
    return loss, [p.grad for p in critic.parameters()]


@bug("a step", "The parameters have changed")
def _(critic, *inputs):
    result = wrong(critic, *inputs)
    torch.optim.SGD(critic.parameters(), lr=0.01).step()
    return result


@bug("weights cut off", "The parameters have changed")
def _(critic, *inputs):
    result = wrong(critic, *inputs)
    for p in critic.parameters():
        p.data.clamp_(-0.01, 0.01)
    return result


@bug("the right loss, the gradient of the penalty", "that of the penalty alone")
def _(critic, *inputs):
    loss = loss_of(critic, *inputs)
    return loss.item(), gradients(critic, loss_of(critic, *inputs, scores=lambda of_real, of_fake: 0 * of_real.sum()))


@bug("the right loss, the gradient downhill", "points to where the loss shrinks")
def _(critic, *inputs):
    loss, found = wrong(critic, *inputs)
    return loss, [-each for each in found]


@bug("backward twice", "one `backward`")
def _(critic, *inputs):
    loss, found = wrong(critic, *inputs)
    loss_of(critic, *inputs).backward()
    return loss, found


@bug("forgotten after backward", "The gradient is 0")
def _(critic, *inputs):
    loss, _ = wrong(critic, *inputs)
    critic.zero_grad(set_to_none=False)
    return loss, [p.grad for p in critic.parameters()]


@bug("only the loss", "end with `return loss, gradients`")
def _(*inputs):
    return loss_of(*inputs)


@bug("the gradient of the first parameter", "one for each parameter")
def _(critic, *inputs):
    loss, found = wrong(critic, *inputs)
    return loss, found[0]
