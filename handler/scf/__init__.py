"""SCF on the way in: events, invocations and their deadlines."""
