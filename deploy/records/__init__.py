"""Reading records from the log, and sending commands to the daemon."""
