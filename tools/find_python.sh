#!/bin/sh
# Prints the first Python that is new enough for the book; a sentence if there is none.
# Usage: find_python.sh [the one that the user names]
for candidate in "$@" python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
    if [ $# -gt 0 ]; then
        echo "make: PYTHON=$1 is no Python 3.11 or newer. Name another one, or none." >&2
        exit 1
    fi
done
found=$(python3 --version 2>/dev/null || echo "no python3")
cat >&2 <<EOF
make: Python 3.11 or newer is needed ($found is what I find). Install it
(Debian: apt-get install python3 python3-venv; macOS: brew install python; others: python.org)
or say where it is: make book PYTHON=/path/to/python3.12
EOF
exit 1
