"""The one error a user can mend: bad configs, missing data, broken files."""


class UserError(ValueError):
    """Something that the user's input makes impossible, with its remedy.

    The message is one line. It names the file, key or value at fault and says
    what to do. The command-line tools print just this line and exit with
    status 2; in Python it is an ordinary :class:`ValueError`.
    """
