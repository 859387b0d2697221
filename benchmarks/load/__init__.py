"""The load client: a process of its own, on uvloop, that speaks raw WebSocket frames.

It runs in benchmarks/.venv, knows nothing of the portal, and takes its orders as lines of JSON (`__main__`).
`benchmarks.driver` is the other end.
"""
