/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket.js: the WebSocket that the SDK is given (its option `websocket`). It does what a load
 * balancer does for a real page, choose an edge, and two things that only a demo wants: it can be
 * cut beneath the SDK, and it reads the name of the edge from the connect reply (the SDK keeps
 * that field to itself).
 */

/* Stands for a socket while the "network" is down: fails like one that finds no route. */
class NoNetwork {
    constructor() {
        this.readyState = WebSocket.CONNECTING;
        setTimeout(() => this.close(), 50);
    }
    close() {
        if (this.readyState !== WebSocket.CLOSED) {
            this.readyState = WebSocket.CLOSED;
            this.onerror?.(new Event('error'));
            this.onclose?.({ code: 1006, reason: '' });
        }
    }
    send() {}
}

function nodeOf(frame) {
    for (const line of frame.split('\n')) {
        const node = line.includes('"connect"') && JSON.parse(line).connect?.node;
        if (node) {
            return node;
        }
    }
    return null;
}

export class Link {
    /* edges: [{name, url}]; the first try goes to edges[index]. */
    constructor(edges, index) {
        this.edges = edges;
        this.index = index;
        this.node = null;
        this.current = null;
        this.downUntil = 0;
        const link = this;
        /* The SDK calls `new websocket(url)`; a constructor may return another object. */
        this.Socket = function Socket() {
            return performance.now() < link.downUntil ? new NoNetwork() : link.open();
        };
    }

    open() {
        const socket = new WebSocket(this.edges[this.index].url);
        const tap = (event) => {
            const node = nodeOf(event.data);
            if (node) {
                this.node = node;
                socket.removeEventListener('message', tap);
            }
        };
        socket.addEventListener('message', tap);
        socket.addEventListener('close', () => {
            if (this.current === socket) { /* not by us: the next try goes to the next edge */
                this.current = null;
                this.index = (this.index + 1) % this.edges.length;
            }
        });
        this.current = socket;
        return socket;
    }

    /*
     * Takes the socket away from under the SDK, as a lost network does: what is in flight is
     * lost, and for `ms` no new connection succeeds.
     */
    cut(ms) {
        const socket = this.current;
        this.downUntil = performance.now() + ms;
        if (socket) {
            const lost = socket.onclose;
            this.current = null;
            socket.onmessage = socket.onclose = socket.onerror = null;
            socket.close();
            lost?.call(socket, { code: 1006, reason: '' });
        }
    }
}
