"""The wire protocol: which frames there are, how they are read and written. Pure: no Django, no I/O, no clock.

`groups`     names of channel-layer groups, which are also the streams' names
`closing`    close codes
`errors`     error codes, and the exceptions that carry them
`inbound`    client → server frames: decoding and validation
`outbound`   server → client frames
`encoding`   from frames to bytes, once per encoding
"""
