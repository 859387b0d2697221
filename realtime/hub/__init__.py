"""The hub: one a process, between the channel layer and the process's connections.

`hub`          puts them together: start, sweep, drain, stop
`listening`    the process's one channel, and the groups it is in
`streams`      the streams that are followed: opened, repaired, resumed, let go
`roster`       the connections, and how many of each kind are taken
`tail`         the newest events of a stream in memory, encoded once for all who get them
`filters`      what of a stream a connection wants
`connection`   one socket's place in each stream it follows, and the writer that moves it
`pages`        older events, read from the rows once for all who ask
`ledger`       live connections and the process's heartbeat, as rows
`watch`        access that changes, tokens that expire, connections that cannot keep up
`presence`     who watches what, told to those who asked
`limits`       token buckets and counts
`threads`      where database work of the event loop runs
"""
