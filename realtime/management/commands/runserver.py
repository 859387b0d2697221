"""`runserver` with the server that production runs."""

from daphne.management.commands.runserver import Command as DaphneCommand

from realtime.server.daphne import Server


class Command(DaphneCommand):
    """Daphne's development server, with close codes, back-pressure and drain."""

    server_cls = Server
