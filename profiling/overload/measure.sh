#!/usr/bin/env bash
# What a router does with one to five times what it can serve, with the guard and without it: a table each, the same as
# JSON, and the curves beside this file. One worker, and a millisecond of work a signal, or the generator on the same
# machine could not offer so much. Takes three minutes; the CPUs should have nothing else to do.
#
#   profiling/overload/measure.sh [target/release/signalbox]
#
# Ends what it starts. Exit code 1 when with the guard the goodput of a step falls under 90 % of the peak, or the P99 of
# what is admitted passes 80 ms.
set -euo pipefail

bin="${1:-target/release/signalbox}"
here="$(cd "$(dirname "$0")" && pwd)"
seconds="${SECONDS_EACH:-10}"
client=127.0.0.1:7822 ops=127.0.0.1:9622
router=

end() {
    [ -z "$router" ] || kill "$router" 2>/dev/null || true
    [ -z "$router" ] || wait "$router" 2>/dev/null || true
    router=
}
trap end EXIT

# with or without, whether the guard is on, and what the outcome has to keep to
measure() {
    local name="$1" enabled="$2"
    shift 2
    SIGNALBOX_SERVER__WORKERS=1 SIGNALBOX_GUARD__ENABLED="$enabled" SIGNALBOX_DRAIN__SECONDS=0 \
        SIGNALBOX_PROFILER__ENABLED=false SIGNALBOX_LOG__LEVEL=error \
        "$bin" serve --dev --listen "$client" --ops-listen "$ops" >/dev/null &
    router=$!
    until curl -sf -o /dev/null "http://$ops/health/ready"; do sleep 0.1; done
    curl -sf -o /dev/null -X PUT -d work=1000 "http://$ops/api/fault"
    "$bin" load overload --url "ws://$client/v1/signal" --seconds "$seconds" --json \
        --svg "$here/$name.svg" --title "One worker, 1 ms a signal: $name" "$@" >"$here/$name.json" || failed=1
    end
}

failed=0
peak_of() { sed -n 's/.*"peak_per_second": \([0-9.]*\).*/\1/p' "$here/$1.json"; }
measure with-guard true --max-p99 80 --min-goodput 90
# late is what this one is expected to be
worst="$failed"
measure without-guard false --peak "$(peak_of with-guard)"
exit "$worst"
