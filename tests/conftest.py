"""One thread, and hypothesis without surprises: the same examples in every run."""

import torch
from hypothesis import HealthCheck, settings

collect_ignore = ["plugin_package"]  # has tests of its own, which test_plugins.py runs

torch.set_num_threads(1)
settings.register_profile(
    "specdec", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("specdec")
