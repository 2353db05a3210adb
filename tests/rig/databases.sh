# What the rig's databases share, beside lib.sh. Sourced, never run.
#
# A script says how its server is made (`prepare`), begun (`begin_server`) and asked whether it answers (`answers`); $user is whose
# server it is where root starts it, for both refuse to be root's. Nothing of it is meant to survive a crash of the machine.

# A machine that is busy with other tests gets this long for a start of five seconds.
patience_s=120

# Runs as the server's ordinary user.
as_user() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
    else
        "$@"
    fi
}

# The same in the background, dying with this shell.
begin() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid "$user" --regid "$user" --clear-groups --pdeathsig KILL -- "$@" >>"$home/log" 2>&1 </dev/null &
    else
        setpriv --pdeathsig KILL -- "$@" >>"$home/log" 2>&1 </dev/null &
    fi
    echo $! >"$home/server.pid"
}

stop_server() {
    local pid
    pid=$(cat "$home/server.pid" 2>/dev/null) || return 0
    kill "-$1" "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -f "$home/server.pid"
}

start_server() {
    local end=$((SECONDS + patience_s))
    begin_server
    until answers >/dev/null 2>&1; do
        kill -0 "$(cat "$home/server.pid")" 2>/dev/null || die "ended; see $home/log: $(tail -3 "$home/log")"
        [ $SECONDS -lt $end ] || die "not ready; see $home/log"
        sleep 0.05
    done
}

# A certificate for 127.0.0.1 and localhost, and one of another authority, which nobody trusts.
certify() {
    local request=(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30)
    openssl "${request[@]}" -subj "/CN=the rig's authority" -keyout "$home/ca.key" -out "$home/ca.crt" 2>/dev/null
    openssl "${request[@]}" -subj "/CN=somebody else" -keyout "$home/other.key" -out "$home/other.crt" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" -keyout "$home/server.key" 2>/dev/null |
        openssl x509 -req -days 30 -CA "$home/ca.crt" -CAkey "$home/ca.key" -CAcreateserial -out "$home/server.crt" \
            -extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n') 2>/dev/null
    chmod 600 "$home/server.key"
}

# serve DIR [--remove]: prints where it listens, then does what is said on its standard input: `kill server`, `stop server`,
# `start server`, `freeze server`, `thaw server`. Ends with its standard input, and leaves nothing in DIR if it is told to.
serve() {
    mkdir -p "$1"
    home=$(readlink -f "$1")
    port=${PORT:-$(free_port)}
    trap 'stop_server KILL' EXIT
    [ "${2:-}" != --remove ] || trap 'stop_server KILL; rm -rf "$home"' EXIT
    trap 'exit 143' TERM INT
    certify
    if [ "$(id -u)" = 0 ]; then
        chown -R "$user:$user" "$home"
        as_user test -x "$home" -a -w "$home" ||
            die "$user may not enter $home: start it elsewhere, with RIG_DIR=/tmp/rig"
    fi
    prepare
    start_server
    printf 'port=%s\nurl=%s\npassword=%s\nca=%s\nready\n' "$port" "$url" "$password" "$home/ca.crt"
    local verb name
    while read -r verb name; do
        case "$verb $name" in
        "kill server") stop_server KILL ;;
        "stop server") stop_server "$gentle" ;;
        "start server") start_server ;;
        "freeze server") kill -STOP "$(cat "$home/server.pid")" ;;
        "thaw server") kill -CONT "$(cat "$home/server.pid")" ;;
        *) say "not understood: $verb $name" ;;
        esac
        echo "done: $verb $name"
    done
}

up() {
    if [ -e "$dir/said" ] && served "$dir"; then
        cat "$dir/said"
        return
    fi
    rm -rf "$dir"
    mkdir -p "$dir"
    mkfifo "$dir/control"
    # Both ends, so that nobody has to wait for the other; it ends with `down`.
    setsid "$self" serve "$dir" >"$dir/out" 2>"$dir/errors" <>"$dir/control" &
    local pid=$!
    echo $pid >"$dir/pid"
    timeout "$patience_s" bash -c 'until grep -qx ready "$1/out"; do kill -0 "$2" || exit 1; sleep 0.05; done' wait "$dir" "$pid" \
        2>/dev/null || { cat "$dir/errors" >&2; die "did not start; its log is in $dir"; }
    grep -vx ready "$dir/out" >"$dir/said"
    say "ready (log and data in ${dir#"$root"/})"
    cat "$dir/said"
}

# Whether the one that `up` started there is still the one that runs.
served() { tr '\0' ' ' <"/proc/$(cat "$1/pid")/cmdline" 2>/dev/null | grep -qF "serve $1"; }

down() {
    local pid
    if [ ! -e "$dir/pid" ] || ! served "$dir"; then
        say "not running"
        rm -f "$dir/pid" "$dir/said"
        return 0
    fi
    pid=$(cat "$dir/pid")
    kill -TERM "$pid"
    timeout 20 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$dir"
    say "stopped"
}

commands() {
    dir=$rig/$server-$series/server
    case ${1:-} in
    install) install_missing ;;
    up)
        install_missing
        up
        ;;
    down) down ;;
    serve) serve "${2:?a directory}" "${3:-}" ;;
    *)
        echo "usage: tests/rig/$server install|up|down|serve DIR" >&2
        echo "  install   the Debian package $package" >&2
        echo "  up        start it (on \$PORT or a free port); print its url and the password" >&2
        echo "  down      stop it, and remove what it held" >&2
        echo "  serve     the same in the foreground, in DIR, until its standard input ends" >&2
        exit 64
        ;;
    esac
}
