"""torchrun, without its traceback after an error that a tool has already explained.

Run as ``python -m mmdclpp.apis._torchrun``, with torchrun's arguments.
"""

import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from mmdclpp.apis._cli import USER_ERROR_STATUS

if __name__ == '__main__':
    try:
        main()
    except ChildFailedError as error:
        if error.get_first_failure()[1].exitcode != USER_ERROR_STATUS:
            raise
        sys.exit(USER_ERROR_STATUS)
