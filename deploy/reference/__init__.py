"""Reference pages made from the code: settings, commands, metrics, records and topics."""
