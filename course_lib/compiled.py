"""torch.compile where there is a compiler."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P, R = ParamSpec("P"), TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` compiled for the shapes it is called with. The first call takes seconds to minutes; where it cannot be
    compiled, for want of a C++ compiler or of Triton, or since PyTorch does not yet compile on this Python, a notice
    says so and the function is used as it is. (The backward pass is compiled with the first `backward`; what fails only
    there is not caught.)
    """
    try:
        fast = torch.compile(function, dynamic=False)
    except RuntimeError as error:
        _notice(error)
        return function
    chosen: list[Callable[P, R]] = []

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if chosen:
            return chosen[0](*args, **kwargs)
        try:
            result = fast(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            _notice(error)
            chosen.append(function)
            return function(*args, **kwargs)
        chosen.append(fast)
        return result

    return call


def _notice(error: Exception) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    print(f"Notice: torch.compile does not work here ({reason[:160]}); going on without it.")
