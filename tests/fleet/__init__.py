"""A fleet that is killed, stopped and restarted at random: ``nox -s fleet``."""
