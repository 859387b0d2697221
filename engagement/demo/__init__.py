"""Demo data: a made-up world to try the portal on.

`world`      who there is: MSPs, their clients, departments, applications, agents, logins
`people`     names of the clients' employees
`incidents`  what alerts are about
`rhythm`     when people work, and how use goes up and down
`history`    what happened on one day at one client, as unsaved rows
`seeding`    writes the world and its history into the database
`traffic`    living use: what happens next, done through the domain's actions
"""
