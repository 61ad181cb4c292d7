# SPDX-License-Identifier: Apache-2.0
"""python3 forward.py PORT=HOST:PORT…: what comes to 127.0.0.1:PORT goes on there; both ends close together.

The load generator's clients have loopback addresses, which no Service can be reached from. Prints `ready`.
"""

import asyncio
import contextlib
import sys


async def copy(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(port, host, target):
    async def on_client(reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection(host, target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    return await asyncio.start_server(on_client, "127.0.0.1", port, backlog=4096)


async def main(rows):
    servers = []
    for row in rows:
        port, _, there = row.partition("=")
        host, _, target = there.rpartition(":")
        servers.append(await serve(int(port), host, int(target)))
    print("ready", flush=True)
    await asyncio.gather(*(s.serve_forever() for s in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
