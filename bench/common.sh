# shellcheck shell=bash
# Functions that the measurements share. The script that sources this file has set $repo and $out, a
# directory for programs and logs.
: "${repo:?}" "${out:?}"

patience=10 # seconds, at most, until what was launched is ready

fail() {
    printf 'bench/%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# usage prints the comment at the beginning of the script.
usage() {
    sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

# build builds the programs, and sets the environment that they run with.
build() {
    printf 'building\n'
    mkdir -p "$out/bin"
    (cd "$repo" && CGO_ENABLED=0 go build -trimpath -o "$out/bin/" ./cmd/edge ./cmd/publisher)
    (cd "$repo/tools/load" && CGO_ENABLED=0 go build -trimpath -o "$out/bin/" ./cmd/pushgate-load)
    PUSHGATE_KEYS=$(LC_ALL=C tr -dc 'A-Za-z0-9' < <(head -c 4096 /dev/urandom) | cut -c1-40)
    export PUSHGATE_KEYS PUSHGATE_DRAIN=1s PUSHGATE_LOG_LEVEL=warn
    ulimit -n "$(ulimit -Hn)"
}

pids=()
# stop ends everything that was launched.
stop() {
    local pid
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        # A server with many connections leaves slowly, which is not measured.
        for ((i = 0; i < 100; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    pids=()
}
trap stop EXIT
trap 'exit 130' INT TERM

# launch NAME COMMAND…: sets $launched to the process id.
launch() {
    local name=$1
    shift
    "$@" >>"$out/$name.log" 2>&1 </dev/null &
    launched=$!
    pids+=("$launched")
}

# await WHAT COMMAND…: waits until the command succeeds.
await() {
    local what=$1 until=$((SECONDS + patience))
    shift
    while ! "$@" >/dev/null 2>&1; do
        ((SECONDS <= until)) || fail "$what is not ready after $patience s: see $out"
        sleep 0.05
    done
}

# start_redis PORT ARGUMENT…: starts a Redis that keeps nothing on disk, and sets $launched to its
# id.
start_redis() {
    launch redis redis-server --bind 127.0.0.1 --port "$1" --save '' --appendonly no --dir "$out" "${@:2}"
    await redis redis-cli -p "$1" ping
}
