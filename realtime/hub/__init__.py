"""The hub: one a process, between the channel layer and the process's connections.

`hub`          which streams the process follows; listening, repairing, sweeping, re-checking
`tail`         the newest events of a stream in memory, encoded once for all who get them
`filters`      what of a stream a connection wants
`connection`   one socket's place in each stream it follows, and the writer that moves it
`pages`        older events, read from the rows once for all who ask
`ledger`       live connections and the process's heartbeat, as rows
`limits`       how many, how fast
`threads`      where database work of the event loop runs
"""
