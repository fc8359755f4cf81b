"""What crosses the wire: requests, answers, links and JSON text. Pure."""
