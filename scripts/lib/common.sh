# Sourced by the scripts.

# usage: prints the comment at the head of the running script.
usage() { sed -n '2,/^set /{/^#/{s/^# \{0,1\}//;p}}' "$0"; }

# test_cache: the folder in which fetched test inputs are kept.
test_cache() { echo "${BELLJAR_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/belljar-tests}"; }

# place FOLDER TARGET: moves a finished folder to its place, unless another run was faster.
place() { mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ]; }

# host: the target that programs are built for, which names their folder below target/.
host() { rustc --print host-tuple; }
