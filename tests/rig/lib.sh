# What the rig's scripts share. Sourced, never run.
#
# A server of the rig listens on loopback only, on a port that was free, keeps everything under
# target/rig/<server>-<version>/ ($RIG_DIR instead of target/rig, if set), and is stopped by the process id that was written when it started.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rig=${RIG_DIR:-$root/target/rig}

say() { printf '%s: %s\n' "${server:-rig}" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Runs a command as root; says what to do when that is not possible.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -v; then
        sudo "$@"
    else
        die "missing the Debian package(s): $packages
    install them yourself:  sudo apt-get install --no-install-recommends $packages"
    fi
}

# Installs Debian packages without letting their services start.
install_packages() {
    packages="$*"
    command -v apt-get >/dev/null ||
        die "missing: $packages, and this machine has no apt-get; install them by hand"
    as_root env DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c '
        exec 9>/run/lock/rollbackd-rig.lock
        flock 9
        policy=/usr/sbin/policy-rc.d
        put_back() { rm -f "$policy"; if [ -e "$policy.rig-saved" ]; then mv "$policy.rig-saved" "$policy"; fi; }
        # An interrupted run before this one may have left its own policy behind.
        if [ -e "$policy.rig-saved" ]; then put_back; fi
        if [ -e "$policy" ]; then mv "$policy" "$policy.rig-saved"; fi
        trap put_back EXIT
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
        install() { apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
        if ! install "$@" >/dev/null 2>&1; then
            apt-get update -q -o DPkg::Lock::Timeout=300 >&2
            install "$@" >&2
        fi
    ' install "$@"
}

# A port nobody listens on at this moment.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The version of the installed program, as its directory is named by.
version_of() { "$1" --version 2>&1 | sed -n '1s/.*version \([^ +]*\).*/\1/p'; }

# True while the process in the pid file is the program that we started.
running() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 1
    [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$(readlink -f "$(command -v "$program")")" ]
}

# Waits until the server answers 200 on $ready (/-/ready), at most 30 s; ends early when the process died.
wait_ready() {
    local dir=$1 url=$2
    python3 - "$dir" "$url${ready:-/-/ready}" <<'PY' || die "not ready; its log: $1/log"
import os, sys, time, urllib.request
directory, url = sys.argv[1:]
pid = int(open(directory + "/pid").read())
end = time.monotonic() + 30
while time.monotonic() < end:
    try:
        if urllib.request.urlopen(url, timeout=2).status == 200:
            sys.exit(0)
    except OSError:
        pass
    if not os.path.exists(f"/proc/{pid}"):
        sys.exit(1)
    time.sleep(0.05)
sys.exit(1)
PY
}

# start DIR URL COMMAND...: in the background, in its own process group.
start() {
    local dir=$1 url=$2
    shift 2
    setsid "$@" >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    echo "$url" >"$dir/url"
    wait_ready "$dir" "$url"
    say "ready at $url (log, data and configuration in ${dir#"$root"/})"
    echo "$url"
}

# stop DIR: by its own process id; waits for the end, then insists.
stop() {
    local dir=$1 pid
    if ! running "$dir"; then
        say "not running"
        rm -f "$dir/pid" "$dir/url"
        return 0
    fi
    pid=$(cat "$dir/pid")
    kill -TERM "$pid"
    timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
    rm -f "$dir/pid" "$dir/url"
    say "stopped"
}

# The commands every script has; `up` is the script's own function.
main() {
    case ${1:-} in
    install) command -v "$program" >/dev/null || install_packages "$package" ;;
    up)
        "$0" install
        dir=$rig/$server-$(version_of "$program")
        mkdir -p "$dir"
        if running "$dir"; then
            cat "$dir/url"
        else
            up
        fi
        ;;
    down)
        for dir in "$rig/$server"-*/; do
            [ ! -e "$dir/pid" ] || stop "${dir%/}"
        done
        ;;
    *)
        echo "usage: tests/rig/$server install|up|down" >&2
        echo "  install   the Debian package $package, unless $program is there already" >&2
        echo "  up        start it (on \$PORT or a free port), print its URL" >&2
        echo "  down      stop what up started" >&2
        exit 64
        ;;
    esac
}
