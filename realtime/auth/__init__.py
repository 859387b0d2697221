"""Who is at the other end of a socket: credentials, identities, origins, and whether they still hold.

`credentials`   where a credential stands in a handshake; first found wins
`handshake`     a handshake as Django's HTTP request
`identity`      from a credential to a user with a scope, and the re-check while a connection lives
`origins`       which browsers' pages may open sockets
`tickets`       single-use tickets
"""
