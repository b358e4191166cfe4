"""What holds for all tests."""

from hypothesis import settings

# A busy machine makes an example slow, not wrong; tests that are about time measure it themselves.
settings.register_profile("postroom", deadline=None)
settings.load_profile("postroom")
