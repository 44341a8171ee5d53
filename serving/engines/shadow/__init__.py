"""Asks two model servers the same requests over REST, without any traffic of clients."""
