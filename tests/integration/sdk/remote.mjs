// SPDX-License-Identifier: Apache-2.0
// The official JavaScript SDK, unchanged, led by a test: one JSON command a line on stdin, one JSON event
// a line on stdout. What the SDK says is passed on as it is; nothing is judged here.
import { createInterface } from "node:readline";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { placedClient } from "./placed.mjs"; // taken out of docs/protocol.md

const subs = new Map();
let client;
let tokens = {}; // what getToken answers next: the client's under "", a subscription's under its channel

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

function token(channel) {
  const list = tokens[channel] ?? [];
  say({ event: "get_token", channel });
  return Promise.resolve(list.length > 1 ? list.shift() : list[0] ?? "");
}

const position = (p) => (p ? { offset: p.offset, epoch: p.epoch } : null);
const pub = (p) => ({ data: p.data ?? null, offset: p.offset, tags: p.tags ?? {} });

function create({ url, token: first, options = {}, placed }) {
  const more = first === undefined ? {} : { token: first };
  if (tokens[""]) more.getToken = () => token("");
  const all = { websocket: WebSocket, minReconnectDelay: 50, maxReconnectDelay: 300, ...more, ...options };
  client = placed ? placedClient(url, placed, all) : new Centrifuge(url, all);
  for (const name of ["connecting", "disconnected"])
    client.on(name, (c) => say({ event: name, code: c.code, reason: c.reason }));
  client.on("connected", (c) => say({ event: "connected", client: c.client, data: c.data ?? null }));
  client.on("error", (c) => say({ event: "error", code: c.error.code, message: c.error.message }));
  client.on("subscribing", (c) => say({ event: "server_subscribing", channel: c.channel }));
  client.on("unsubscribed", (c) => say({ event: "server_unsubscribed", channel: c.channel }));
  client.on("subscribed", (c) =>
    say({ event: "server_subscribed", channel: c.channel, recoverable: c.recoverable, was_recovering: c.wasRecovering,
      recovered: c.recovered, position: position(c.streamPosition) }));
  client.on("publication", (c) => say({ event: "publication", channel: c.channel, server: true, ...pub(c) }));
}

function subscribe({ channel, token: first, options = {} }) {
  let sub = subs.get(channel);
  if (!sub) {
    const more = first === undefined ? {} : { token: first };
    if (tokens[channel]) more.getToken = () => token(channel);
    sub = client.newSubscription(channel, { minResubscribeDelay: 50, maxResubscribeDelay: 300, ...more, ...options });
    subs.set(channel, sub);
    for (const name of ["subscribing", "unsubscribed"])
      sub.on(name, (c) => say({ event: name, channel, code: c.code, reason: c.reason }));
    sub.on("error", (c) => say({ event: "sub_error", channel, code: c.error.code, message: c.error.message }));
    sub.on("publication", (c) => say({ event: "publication", channel, ...pub(c) }));
    sub.on("subscribed", (c) =>
      say({ event: "subscribed", channel, recoverable: c.recoverable, was_recovering: c.wasRecovering,
        recovered: c.recovered, position: position(c.streamPosition) }));
  }
  sub.subscribe();
}

async function history({ id, channel, options }) {
  try {
    const r = await subs.get(channel).history(options);
    say({ event: "result", id, offset: r.offset, epoch: r.epoch, publications: r.publications.map(pub) });
  } catch (e) {
    say({ event: "result", id, code: e.code, message: e.message });
  }
}

const verbs = {
  tokens: (c) => { tokens = c.tokens; },
  create,
  connect: () => client.connect(),
  disconnect: () => client.disconnect(),
  subscribe,
  unsubscribe: (c) => subs.get(c.channel).unsubscribe(),
  history,
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = JSON.parse(line);
  verbs[command.verb](command);
});
lines.on("close", () => process.exit(0));
