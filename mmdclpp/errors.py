"""The one error a user can mend (bad configs, missing data, broken files), and the one end that is none."""


class UserError(ValueError):
    """Something that the user's input makes impossible, with its remedy.

    The message is one line. It names the file, key or value at fault and says
    what to do. The command-line tools print just this line and exit with
    status 2; in Python it is an ordinary :class:`ValueError`.
    """


class Preempted(Exception):
    """A run that ended on request, with its checkpoint saved: to be resumed. The message is one line."""
