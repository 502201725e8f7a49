#!/usr/bin/env bash
# The worked case of ../README.md: a router with calls that are going on, then many joins, and a capture of that.
# Takes five minutes: three of them are the quiet time that the capture is held against.
#
#   profiling/scenarios/joins.sh [target/release/signalbox]
#
# Ends what it starts, and leaves the capture in $DATA_DIR (a new folder when that is not set).
set -euo pipefail

bin="${1:-target/release/signalbox}"
data="${DATA_DIR:-$(mktemp -d)}"
client=127.0.0.1:7821 ops=127.0.0.1:9621
quiet_seconds=190 storm_seconds=70 before_seconds=30

SIGNALBOX_SERVER__DATA_DIR="$data" SIGNALBOX_DRAIN__SECONDS=0 \
    "$bin" serve --dev --listen "$client" --ops-listen "$ops" --media-listen 127.0.0.1:0 &
router=$!
trap 'kill "$router" "${calls:-}" "${joins:-}" 2>/dev/null || true; wait' EXIT
sleep 2

load=(--url "ws://$client/v1/signal" --ops "http://$ops")
"$bin" load fanout "${load[@]}" --rooms 20 --size 6 --seconds $((quiet_seconds + storm_seconds + 20)) >"$data/calls.txt" &
calls=$!
sleep "$quiet_seconds"
"$bin" load churn "${load[@]}" --rate 300 --stay 2 --seconds "$storm_seconds" >"$data/joins.txt" &
joins=$!
sleep "$before_seconds"
"$bin" profile capture --url "http://$ops" --note 'joins are slow'
echo "the capture is in $data/captures; look at it with: SIGNALBOX_SERVER__DATA_DIR=$data $bin serve --dev"
