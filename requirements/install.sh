#!/usr/bin/env bash
# Install the tested set and this package (editable) into the environment of $PYTHON, the active one by default.
#
#   bash requirements/install.sh                           what training needs
#   bash requirements/install.sh -r requirements/test.txt  and the tests; every argument goes to `pip install`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}

"$python" -m pip install -r requirements.txt "$@"

# onedl-mmcv and onedl-mmsegmentation require opencv-python, which fails to import on servers without libGL. It and
# the headless build own the same files, so that removing one breaks the other: remove, then write the other anew.
"$python" -m pip uninstall --yes --quiet opencv-python
"$python" -m pip install --quiet --no-deps --force-reinstall "$(grep '^opencv-python-headless==' requirements.txt)"

# --no-deps: mm* are no dependencies of the package (setup.py says why), the others are in place.
"$python" -m pip install --quiet --no-deps --editable .
