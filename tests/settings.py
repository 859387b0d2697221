"""The portal's settings for servers that tests start, which meet users with the tests' quick hashes."""

from compliance_portal.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.hashers.QuickHasher"]
