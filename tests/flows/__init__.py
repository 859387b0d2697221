"""Flows: faults, storms, losses and hand-overs, through the front door of real servers."""
