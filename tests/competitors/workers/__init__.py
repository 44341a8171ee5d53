"""What runs inside a peer's environment: the standard library, numpy and the peer, nothing of ours
but `wire`."""
