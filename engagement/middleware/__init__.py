"""What holds for every HTTP request, whichever view answers it.

`wellformed`    what no view could make sense of is refused first
`failures`      a database that refuses or is away is told in words, never by HTTP 500
`refusals`      how a refusal looks: JSON for the API, a page for people
"""
