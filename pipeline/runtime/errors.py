"""The one kind of error that a command shows without a traceback."""


class UserError(Exception):
    """Something the user can put right: the message says where, what was found and what to do."""
