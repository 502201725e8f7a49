#!/usr/bin/env python3
"""How long an acknowledged message takes by `redis.ack`, with a Redis of its own on this machine.

    cargo build --release && profiling/scenarios/acknowledged.py target/release/signalbox

Twenty rooms, in each one who says 200 bytes every 50 ms and waits for the `ok`. Prints what the client saw, its own time included, and
the router's own view of the last minute. Needs redis-server and nothing else; ends what it starts.
"""
import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOMS, EVERY, SECONDS = 20, 0.05, 6
SECRET = b"secretsecretsecretsecretsecretsecret"


def free():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def token(room):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    grants = {"roomJoin": True, "room": room, "canPublish": True, "canSubscribe": True, "canPublishData": True}
    claims = {"iss": "devkey", "sub": "ann", "exp": int(time.time()) + 3600, "video": grants}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(json.dumps(claims).encode())
    return signed + "." + part(hmac.new(SECRET, signed.encode(), hashlib.sha256).digest())


async def frame(reader):
    """The next text frame (RFC 6455)."""
    while True:
        head = await reader.readexactly(2)
        length = head[1] & 127
        if length > 125:
            form, size = (">H", 2) if length == 126 else (">Q", 8)
            length = struct.unpack(form, await reader.readexactly(size))[0]
        payload = await reader.readexactly(length)
        if head[0] & 15 == 1:
            return json.loads(payload)


async def says(port, room, latencies):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(b"x" * 16).decode()
    writer.write(
        f"GET /v1/signal?access_token={token(room)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")

    async def ask(request):
        payload = json.dumps(request).encode()
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        writer.write(b"\x81" + length + b"\0\0\0\0" + payload)
        while True:
            answer = await frame(reader)
            if answer.get("id") == request["id"]:
                return answer

    await ask({"id": 1, "join": {"room": room}})
    number, end = 1, time.time() + SECONDS
    while time.time() < end:
        number, begun = number + 1, time.perf_counter()
        answer = await ask({"id": number, "send": {"data": "x" * 200}})
        took = time.perf_counter() - begun
        latencies.append(took if "ok" in answer else None)
        await asyncio.sleep(max(0.0, EVERY - took))


def run(router, ack, redis_with, away=False):
    folder, redis_port, client, ops = tempfile.TemporaryDirectory(), free(), free(), free()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(redis_port), "--dir", folder.name, "--save", "", *redis_with],
        stdout=subprocess.DEVNULL,
    )
    settings = {
        "REDIS__ADDRS": f"redis://127.0.0.1:{redis_port}",
        "REDIS__ACK": ack,
        "RESUME__SECRET": "s" * 32,
        "SERVER__DATA_DIR": folder.name,
        "SERVER__ID": "measured",
        "MEDIA__LISTEN": "127.0.0.1:0",
        "LOG__LEVEL": "error",
    }
    environment = dict(os.environ, **{f"SIGNALBOX_{key}": value for key, value in settings.items()})
    time.sleep(0.5)
    listen = ["--listen", f"127.0.0.1:{client}", "--ops-listen", f"127.0.0.1:{ops}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    serves = subprocess.Popen([router, "serve", "--dev", *listen], env=environment, **quiet)
    time.sleep(1.5)
    latencies = []

    async def all_of_them():
        tasks = [asyncio.create_task(says(client, f"r{number}", latencies)) for number in range(ROOMS)]
        if away:
            await asyncio.sleep(2)
            redis.kill()
            await asyncio.sleep(1)
            latencies.clear()
        await asyncio.gather(*tasks)

    try:
        asyncio.run(all_of_them())
        scrape = urllib.request.urlopen(f"http://127.0.0.1:{ops}/metrics").read().decode()
    finally:
        serves.kill()
        redis.kill()
    good = sorted(took * 1e3 for took in latencies if took is not None)
    own = [
        f"{float(line.split()[-1]) * 1e3:.2f}"
        for line in scrape.splitlines()
        if line.startswith('signalbox_signal_latency_quantile_seconds{op="send"') and ('q="0.5"' in line or 'q="0.99"' in line)
    ]
    print(
        f"{ack:7} {' '.join(redis_with) + (', away' if away else ''):42} {len(good)} ok, {len(latencies) - len(good)} not;"
        f" client P50 {good[len(good) // 2]:.2f} P99 {good[len(good) * 99 // 100]:.2f} ms; router P50, P99 {', '.join(own)} ms",
        flush=True,
    )


if __name__ == "__main__":
    durable = ["--appendonly", "yes", "--appendfsync"]
    for acknowledged in ("local", "disk", "remote"):
        run(sys.argv[1], acknowledged, [*durable, "everysec"])
    run(sys.argv[1], "remote", [*durable, "always"])
    run(sys.argv[1], "disk", [*durable, "everysec"], away=True)
