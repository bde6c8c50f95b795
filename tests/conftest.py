"""What holds for every test."""

from hypothesis import settings

# Time is measured in benchmarks/: a busy machine must not fail a law.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
