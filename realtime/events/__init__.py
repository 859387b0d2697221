"""The event log, in the order an event goes through it.

`recording`   a change is recorded in the outbox, in its own transaction
`rendering`   what was recorded becomes what goes out
`placing`     each event gets its places: one in the log, one in each of its two streams
`announcing`  what was placed is sent to the channel-layer groups; `redis_groups` sends it to Redis without a loop
`publisher`   the thread that places and announces
`reading`     heads, pages and backlogs, for the hub
`retention`   old events go
"""
