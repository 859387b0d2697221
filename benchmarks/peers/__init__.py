"""What the portal is measured against: each a server program in one file, as its own documentation would have it.

`catalog` says how each is started and spoken to. Events come in by an *inlet* (one JSON object a line on a
loopback port), which costs next to nothing, or by the way the peer itself offers: a channel layer, a POST.
"""
