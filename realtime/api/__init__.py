"""REST of real-time delivery: statistics, events by position, tickets."""
