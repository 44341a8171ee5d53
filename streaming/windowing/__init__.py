"""From raw events to complete windows: decoding, assignment, accumulation, completeness. No Beam, no Kafka."""
