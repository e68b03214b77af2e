# shellcheck shell=bash
# What the measurements share. It is sourced by a script that has set $repo, and $out, a directory for what is built and for logs.
: "${repo:?}" "${out:?}"

patience=10 # seconds, at most, until what was launched is ready

fail() {
    printf 'bench/%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# usage tells what the script says of itself.
usage() {
    sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

# build makes the programs, and what they are to run with.
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
# stop ends all that was launched.
stop() {
    local pid
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        # A server that holds many connections leaves slowly, and what it does then is not measured.
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

# launch NAME COMMAND…: the process id is then in $launched.
launch() {
    local name=$1
    shift
    "$@" >>"$out/$name.log" 2>&1 </dev/null &
    launched=$!
    pids+=("$launched")
}

# await WHAT COMMAND…: until the command succeeds.
await() {
    local what=$1 until=$((SECONDS + patience))
    shift
    while ! "$@" >/dev/null 2>&1; do
        ((SECONDS <= until)) || fail "$what is not ready after $patience s: see $out"
        sleep 0.05
    done
}

# start_redis PORT ARGUMENT…: a private one that keeps nothing on disk. Its process id is then in $launched.
start_redis() {
    launch redis redis-server --bind 127.0.0.1 --port "$1" --save '' --appendonly no --dir "$out" "${@:2}"
    await redis redis-cli -p "$1" ping
}
