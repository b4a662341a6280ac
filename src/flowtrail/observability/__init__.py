"""What an operator sees of the service: logs, metrics, traces (spec 6.4). None of them ever holds a payload or a token."""
