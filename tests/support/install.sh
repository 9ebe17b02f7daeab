# SPDX-License-Identifier: MIT
# Installs Debian packages that are missing, and says nothing when none is; sourced by scripts.

missing_packages=()

# need PACKAGE CHECK...: notes PACKAGE when the command CHECK fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 </dev/null || missing_packages+=("$package")
}

need_command() { need "$1" command -v "$2"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what need() noted. Does not touch the network when nothing is missing.
install_missing() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "Please install: ${missing_packages[*]}" >&2
        return 1
    fi
    echo "Installing ${missing_packages[*]}"
    local log
    log=$(mktemp)
    if ! { as_root apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing_packages[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    missing_packages=()
}
