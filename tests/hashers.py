"""Passwords, hashed fast: by tests in process (tests/conftest.py) and by the servers they start (tests/settings.py)."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """Django's hasher, which is slow on purpose (a second of CPU at each sign-in), with next to no iterations."""

    iterations = 10
