"""One instruction: the rules of evidence, the task that performs them, and the caller's handle."""
