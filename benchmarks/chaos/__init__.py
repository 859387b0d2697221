"""Breaking the portal under load, and counting what was lost: `make chaos`.

`plan`      from a seed: who connects how, what breaks when. The same seed, the same plan
`world`     two MSPs, six clients, their people; the log's own account of what happened
`writer`    a process that saves, rolls back, writes in bulk, broadcasts, deletes
`poison`    what it writes that cannot be published
`watcher`   one WebSocket client's state: what it has, what it missed. No I/O
`watchers`  the process with hundreds of them, on real sockets
`faults`    what breaks, and how it is mended
`judge`     what every client got against what the log holds. No I/O
`run`       one run, from the first server to the verdict
`report`    the verdict as a table, JSON and Markdown
"""
