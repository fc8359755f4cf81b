"""HTTP: one request at a time, its errors, and the token it carries."""
