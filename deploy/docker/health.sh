# Health of a container, by what its process does; a TCP connect is taken by the kernel even for a stopped process.
#
#   sh health.sh RESTART_AFTER http PORT PATH        an HTTP answer 200
#   sh health.sh RESTART_AFTER progress PORT PROCESS SECONDS
#                                                    its loop made a step within this time, by driftline_progress_seconds
#   sh health.sh RESTART_AFTER taskmanager PORT      a TaskManager is registered at the JobManager
#   sh health.sh RESTART_AFTER kafka PORT            an answer to ApiVersions
#   sh health.sh RESTART_AFTER grpc PORT             an HTTP/2 server's settings
#
# It also acts. Docker restarts a container whose process ends, so the check ends it:
# - when `net` has started again: it is then in a new network namespace, and this container in the old one, cut off;
# - after RESTART_AFTER failed checks in a row, if it was healthy before (0 = never).
# Runs in bash where the image has it, else in BusyBox's sh with wget. Needs `init: true`: process 1 passes the end on.
set -u
restart_after=$1 probe=$2 port=$3 detail=${4:-} within=${5:-}
memory=${HEALTH_MEMORY:-/dev/shm/driftline-health} # empty in a container that has just started
seconds=${HEALTH_SECONDS:-8}                       # for an answer; a busy machine is not a stopped process

namespace() { readlink /proc/self/ns/net; }
namespace_of_net() { cat /pod/network 2>/dev/null || true; }

moved() {
    current=$(namespace_of_net)
    [ -n "$current" ] && [ "$current" != "$(namespace)" ]
}

in_the_pod() { # and nowhere else does this script end anything
    [ -r /pod/network ] || return 1
    case $(cat /proc/1/comm) in # the init of Docker, of Podman, or an image's own
    docker-init | podman-init | catatonit | tini*) return 0 ;;
    esac
    return 1
}

end_the_process() {
    in_the_pod || exit 1
    echo "$1; the container is restarted"
    # -1: all but this process and process 1. Without `--`, which dash and BusyBox refuse.
    kill -TERM -1 2>/dev/null
    sleep 4
    kill -KILL -1 2>/dev/null
    exit 1
}

has_bash() { [ -n "${BASH_VERSION:-}" ]; }

http() { # PATH: the answer's body, if it is 200
    if ! has_bash; then
        wget -q -T "$seconds" -O - "http://127.0.0.1:$port$1"
        return
    fi
    timeout "$seconds" bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1
        printf "GET %s HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n" "$1" "$0" >&3
        read -r _ status _ <&3 && [ "$status" = 200 ] && cat <&3' "$port" "$1"
}

answers() { # BYTES REQUEST: whether that many bytes come back
    timeout "$seconds" bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1
        printf "$2" >&3
        [ "$(head -c "$1" <&3 | wc -c)" -eq "$1" ]' "$port" "$1" "$2"
}

progress() {
    http /metrics | awk -v now="$(date +%s)" -v within="$within" -v process="$detail" '
        index($1, "driftline_progress_seconds{process=\"" process "\"") == 1 { ok = now - $2 < within }
        END { exit !ok }'
}

healthy() {
    case $probe in
    http) http "$detail" >/dev/null ;;
    progress) progress ;;
    taskmanager) http /overview | grep -q '"taskmanagers":[1-9]' ;;
    kafka) answers 8 '\000\000\000\012\000\022\000\000\000\000\000\001\377\377' ;;
    grpc) answers 9 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\000\000\000\004\000\000\000\000\000' ;;
    *) echo "unknown probe $probe" && exit 2 ;;
    esac
}

if moved && sleep 2 && moved; then
    end_the_process "the service net has a new network namespace"
fi
if in_the_pod && ! grep -q '[^[:space:]]*[[:space:]]00000000[[:space:]]' /proc/net/route; then
    echo "the service net is down: this container has no network"
    exit 1
fi
if healthy 2>/dev/null; then
    echo 0 >"$memory"
    exit 0
fi
echo "no answer to the probe $probe at port $port $detail"
if [ -r "$memory" ]; then # it was healthy before
    failures=$(($(cat "$memory") + 1))
    echo "$failures" >"$memory"
    if [ "$restart_after" -gt 0 ] && [ "$failures" -ge "$restart_after" ]; then
        end_the_process "$failures checks in a row have failed"
    fi
fi
exit 1
