"""What all tests share: how much hypothesis tries."""

import os

from hypothesis import HealthCheck, settings

QUICK = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("quick", max_examples=40, **QUICK)
settings.register_profile("thorough", max_examples=2000, **QUICK)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
