"""The admin site of delivery: who is connected, what happened, what waits, which processes serve.

All of it is read-only; what can be done is asked of the processes by `realtime.control`.

Staff of an MSP or a client see the rows of their tenant and no others, as in the portal's own lists.
"""

from realtime.admin.connections import LiveConnectionAdmin, ServerProcessAdmin
from realtime.admin.dead_letters import DeadLetterAdmin
from realtime.admin.log import EventAdmin, OutboxAdmin

__all__ = ["DeadLetterAdmin", "EventAdmin", "LiveConnectionAdmin", "OutboxAdmin", "ServerProcessAdmin"]
