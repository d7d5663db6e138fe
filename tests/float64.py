"""For tests that compare to the last digits: everything in float64, and the same random numbers each time."""

import pytest
import torch


@pytest.fixture(autouse=True)
def float64():
    """Serves every test of a file that imports it."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), atol=tolerance, rtol=0)
