"""Flows: faults, storms, losses and hand-overs, through the front door of real servers."""

import tests.realtime  # noqa: F401 - first: it registers what asserts in helper modules are rewritten by
