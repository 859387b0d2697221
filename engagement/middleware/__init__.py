"""What holds for every HTTP request, whichever view answers it.

`admission`     how many requests are worked on at once (`places`); sign-ins have places of their own
`probes`        are answered before anything else
`time_limit`    how long a statement may take; nothing is read for a client that has gone
`caching`       nothing is kept by browsers and proxies
`wellformed`    what no view could make sense of is refused first
`failures`      a database that refuses or is away is told in words, never by HTTP 500
`refusals`      how a refusal looks: JSON for the API, a page for people
"""
