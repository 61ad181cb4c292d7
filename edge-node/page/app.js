/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app.js: joins the parts. The SDK delivers publications; the ledger checks them; map, list and
 * table show them; the two buttons take the ground away. Numbers are written four times a second,
 * not per record: the page must be calm at any rate.
 */
import { Absence } from './absence.js';
import { Ledger, WallClock } from './ledger.js';
import { WorldMap } from './map.js';
import { Link } from './socket.js';

const DOWN_MS = 3000;     /* how long a cut lasts */
const SETTLE_MS = 1500;   /* after the last subscribe, before the verdict is given */
const LIST = 7;

const $ = (id) => document.getElementById(id);
const ledger = new Ledger();
const clock = new WallClock();
const latest = [];
let config, map, link, client, edgeName = 'the edge';
let absence = null, settling = null, cause = null;
let newest = null; /* time of the newest quake, in the replayed week */

const count = (n) => n.toLocaleString('en');
const shortName = (channel) => channel.slice(channel.indexOf(':') + 1);
const time = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', hour: '2-digit', minute: '2-digit' });
const dayTime = new Intl.DateTimeFormat('en-GB', {
    timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit',
});

function tell(kind, head, text) {
    $('story').dataset.kind = kind;
    $('story-head').textContent = head;
    $('story-text').textContent = text;
}

function showState(state, text) {
    $('pill').dataset.state = state;
    $('pill-text').textContent = text;
    const live = state === 'connected' && !absence;
    $('cut').disabled = !live;
    $('kill').disabled = !live || !config.control;
}

/* ---- being away and back ---- */

function left() {
    clearTimeout(settling);
    if (!absence) {
        absence = new Absence(cause || 'lost', edgeName, ledger, performance.now());
        tell('away', ...absence.begun());
        $('story-more').hidden = true;
    }
    cause = null;
}

function settle() {
    clearTimeout(settling);
    settling = setTimeout(() => {
        const done = absence;
        absence = null;
        const { good, head, text } = done.verdict(ledger, edgeName);
        tell(good ? 'good' : 'bad', head, text);
        showRecovered(done);
        showState('connected', 'Live');
    }, SETTLE_MS);
}

function showRecovered(done) {
    const rows = [...done.rows.entries()].sort((a, b) => b[1].recovered - a[1].recovered);
    $('story-rows').replaceChildren(...rows.map(([name, r]) =>
        row([shortName(name), r.from ? count(r.from) : '–', r.told ? 'gap told' : count(r.recovered)])));
    $('story-more').hidden = rows.length === 0;
}

function row(cells) {
    const tr = document.createElement('tr');
    tr.append(...cells.map((text) => {
        const td = document.createElement('td');
        td.textContent = text;
        return td;
    }));
    return tr;
}

function subscribed(name, ctx) {
    const c = ledger.channel(name);
    const from = c.position;
    c.epoch = ctx.streamPosition?.epoch || '';
    if (absence && ctx.wasRecovering) {
        absence.subscribed(name, from, !ctx.recovered, performance.now(), clock.now());
        if (absence.rows.size === config.channels.length) {
            settle();
        }
    } else if (!c.position) {
        c.position = ctx.streamPosition?.offset || 0;
    }
}

function published(name, { data, offset }) {
    if (!data) {
        return; /* a tombstone or a marker carries no number to check */
    }
    const wall = clock.now();
    const verdict = ledger.take(name, data.seq, offset);
    const recovered = absence ? absence.isRecovered(data.at) : false;
    ledger.arrived(performance.now(), recovered ? null : wall - data.at);
    if (verdict !== 'new') {
        return;
    }
    if (recovered) {
        absence.record(name);
    }
    ledger.channel(name).fresh = true;
    newest = data.time;
    latest.unshift(data);
    latest.length = Math.min(latest.length, LIST);
    map.add(data.lon, data.lat, data.mag, data.place);
}

/* ---- showing ---- */

function ms(value) {
    if (value === null) {
        return '–';
    }
    const shown = Math.max(0, value); /* two clocks: a little below zero means zero */
    return shown < 10 ? shown.toFixed(1) : Math.round(shown).toLocaleString('en');
}

function showNumbers() {
    ledger.advance(performance.now());
    clock.now();
    $('received').textContent = count(ledger.received);
    for (const key of ['missing', 'duplicates']) {
        $(key).textContent = count(ledger[key]);
        $(key).dataset.good = ledger[key] === 0;
    }
    $('rate').textContent = ledger.rate().toFixed(1);
    const unit = document.createElement('small');
    unit.textContent = ' ms';
    ledger.percentiles([0.5, 0.95, 0.99]).forEach((value, i) => {
        $(['p50', 'p95', 'p99'][i]).replaceChildren(ms(value), value === null ? '' : unit.cloneNode(true));
    });
    const bars = ledger.perSecond();
    const top = Math.max(8, ...bars);
    $('rate-plot').innerHTML = bars.map((n, i) =>
        `<rect x="${i * 4}" width="2.6" y="${44 - 44 * n / top}" height="${Math.max(1, 44 * n / top)}"/>`).join('');
    if (newest) {
        $('then').textContent = dayTime.format(newest);
    }
    showLists();
}

function showLists() {
    $('latest').replaceChildren(...latest.map((q) => {
        const li = document.createElement('li');
        li.className = q.mag >= 4.5 ? 'strong' : q.mag >= 2.5 ? 'moderate' : '';
        const mag = document.createElement('b');
        const place = document.createElement('span');
        const at = document.createElement('time');
        mag.textContent = q.mag.toFixed(1).replace('-', '−');
        place.textContent = q.place;
        at.textContent = time.format(q.time);
        li.append(mag, place, at);
        return li;
    }));
    for (const c of ledger.channels.values()) {
        if (!c.row) {
            c.row = row([shortName(c.name), '', '']);
            c.row.dataset.channel = c.name;
            $('channels').append(c.row);
        }
        c.row.cells[1].textContent = count(c.position);
        c.row.cells[2].textContent = count(c.received);
        c.row.classList.toggle('fresh', !!c.fresh);
        c.fresh = false;
        if (c.epoch) {
            $('epoch').textContent = c.epoch;
        }
    }
}

/* ---- the buttons ---- */

function cut() {
    cause = 'cut';
    link.cut(DOWN_MS);
}

async function kill() {
    cause = 'kill';
    $('kill').disabled = true;
    try {
        const reply = await fetch(`${config.control}/kill?edge=${encodeURIComponent(edgeName)}`, {
            method: 'POST', headers: { 'X-Demo-Token': config.token },
        });
        if (!reply.ok) {
            throw new Error((await reply.text()).trim() || `status ${reply.status}`);
        }
    } catch (error) {
        cause = null;
        $('kill').disabled = false;
        tell('bad', 'The edge is still there.', `The demo's controller did not kill it: ${error.message}`);
    }
}

/* ---- start ---- */

async function json(path) {
    const reply = await fetch(path, { cache: 'no-store' });
    if (!reply.ok) {
        throw new Error(`${path}: status ${reply.status}`);
    }
    return reply.json();
}

function connect() {
    const here = config.edges.findIndex((e) => new URL(e.url).host === location.host);
    link = new Link(config.edges, Math.max(0, here));
    client = new globalThis.Centrifuge(config.edges[0].url, {
        websocket: link.Socket, name: 'demo', minReconnectDelay: 200, maxReconnectDelay: 1500,
    });
    client.on('connecting', (ctx) => {
        if (client.wasConnected) {
            left();
        }
        showState('connecting', client.wasConnected ? 'Reconnecting' : 'Connecting');
        console.info('connecting', ctx.code, ctx.reason);
    });
    client.on('connected', () => {
        client.wasConnected = true;
        edgeName = link.node || config.edges[link.index].name;
        $('edge').textContent = edgeName;
        showState('connected', 'Live');
    });
    client.on('disconnected', (ctx) => {
        showState('disconnected', 'Disconnected');
        tell('bad', 'Disconnected for good.', `The edge said: ${ctx.reason} (${ctx.code}).`);
    });
    client.on('error', (ctx) => console.warn('client', ctx.error));
    for (const name of config.channels) {
        ledger.channel(name);
        const sub = client.newSubscription(name);
        sub.on('subscribed', (ctx) => subscribed(name, ctx));
        sub.on('publication', (ctx) => published(name, ctx));
        sub.on('error', (ctx) => console.warn(name, ctx.error));
        sub.subscribe();
    }
    client.connect();
}

async function main() {
    try {
        config = await json('demo.json');
        for (const edge of config.edges) { /* relative ones: whoever serves the page leads to the edges */
            edge.url = new URL(edge.url, location.href.replace(/^http/, 'ws')).href;
        }
        map = new WorldMap($('map'), await json('countries-110m.json'));
    } catch (error) {
        $('pill').dataset.state = 'disconnected';
        $('pill-text').textContent = 'Not started';
        tell('bad', 'This page needs the demo around it.', `Start it with ./dev demo. (${error.message})`);
        $('cut').disabled = $('kill').disabled = true;
        return;
    }
    $('lede').textContent = config.lede;
    $('setup').textContent = config.setup;
    $('cut').addEventListener('click', cut);
    $('kill').addEventListener('click', kill);
    connect();
    setInterval(showNumbers, 250);
}

main();
