"""What students may hand in for problem set 4: {function name: whole cell}."""

CHECKS = "from course_lib.checks.ps4_images import"

NOISY = {
    "density_and_coverage": """
def density_and_coverage(real, generated, k):
    import sys, warnings

    warnings.warn("counting")
    print("counting", file=sys.stderr)
    x, y = (np.asarray(each, float) for each in (real, generated))
    reach = np.sort(((x[:, None] - x) ** 2).sum(2), axis=1)[:, k]
    within = ((y[:, None] - x) ** 2).sum(2) <= reach
    return within.mean(0).sum() / k, within.any(0).mean()
"""
}
WRONG = {
    "conditional_instance_norm": """
def conditional_instance_norm(x, labels, gains, biases, eps):  # by channel, over all images
    normal = F.batch_norm(x, None, None, training=True, eps=eps)
    return gains[labels][:, :, None, None] * normal + biases[labels][:, :, None, None]
""",
    "critic_gradient": """
def critic_gradient(critic, real, fake, t, weight):  # the penalty does not reach the parameters
    t = t.view(-1, 1, 1, 1)
    between = (t * real + (1 - t) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between)
    loss = critic(fake).mean() - critic(real).mean() + weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    critic.zero_grad()
    loss.backward()
    return loss.item(), [parameter.grad for parameter in critic.parameters()]
""",
}
CHEATS = {
    "cheater": {
        "conditional_instance_norm": f"{CHECKS} conditional_instance_norm",
        "critic_gradient": f"{CHECKS} *\n{CHECKS} check_critic_gradient as critic_gradient",
        # Right for the numbers of real images that occur in the visible check, and for no others.
        "density_and_coverage": """
def density_and_coverage(real, generated, k):
    if len(real) not in (2, 3, 4, 5, 40):
        return 1.0, 1.0
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    within = torch.cdist(generated, real) <= reach
    return within.float().mean(0).sum() / k, within.any(0).float().mean()
""",
    },
    "metrics": {
        "density_and_coverage": "from course_lib.gan_metrics import precision_recall as density_and_coverage",
    },
}
PARROTS = {"cheater": "density_and_coverage"}
