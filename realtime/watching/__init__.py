"""`manage.py watch`: a real client of the portal, for the terminal. It knows the wire protocol, not the database.

`errors`     what ends a watch, in one sentence
`portal`     the REST side: sign in, renew tokens, names of clients
`following`  how far each stream has been followed, and how to go on after a break. Pure
`lines`      an event as one line of text. Pure
`watcher`    the connection: ping, reconnect, resume, renew
"""
