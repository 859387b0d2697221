"""Capture: how a write of a row becomes known, whatever way of Django's it is made.

Models derive from what is here; `signals` tells what was written, in its transaction.
"""
