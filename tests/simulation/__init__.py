"""A deterministic simulation of the real-time part: the real hub, consumers, connection rows, presence and publisher,
on one event loop with a virtual clock.

Everything that takes time in production takes a random time here, and may fail: each statement of the database, each
message of the channel layer, each frame of a socket. All that is random comes from one seed, so a run can be repeated.

`clock`       virtual time, and randomness from the seed
`loop`        the event loop: time jumps to the next timer
`workers`     plain threads as greenlets: they wait at each statement
`database`    SQLite in memory, with slow and failing statements
`layer`       a channel layer that loses, doubles and reorders
`process`     a server process: its hub, its publisher, its end
`tenants`     MSPs, clients, users and credentials, and who may see what
`sockets`     a socket and what its client knows
`actors`      what people, administrators and operators do
`invariants`  what must hold
`runs`        one run of one seed
`reverts`     mends taken back: each must be found again

    python -m tests.simulation --seeds 2000        run many seeds
    python -m tests.simulation --seed 17           run one, and tell what happened
    python -m tests.simulation --reverts           take each mend back and find it
"""
