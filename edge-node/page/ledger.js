/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.js: what the page knows of what it got. The verdict (missing, duplicate) rests on the
 * number `seq` that the producer counts per channel and puts into the payload, so it doesn't
 * believe the edge, the worker or the SDK. Latency and rate look back one minute.
 */

export const WINDOW_MS = 60_000;

/*
 * This browser's wall clock with fractions. Date.now() is cut to whole milliseconds and
 * performance.now() drifts from it; the greatest difference seen lately is within a fraction.
 */
export class WallClock {
    constructor() {
        this.since = -Infinity;
        this.shift = this.shiftBefore = -Infinity;
    }
    now() {
        const mono = performance.now();
        if (mono - this.since > 10_000) {
            this.since = mono;
            this.shiftBefore = this.shift;
            this.shift = -Infinity;
        }
        this.shift = Math.max(this.shift, Date.now() - mono);
        return mono + Math.max(this.shift, this.shiftBefore);
    }
}

export class Ledger {
    constructor() {
        this.channels = new Map();
        this.received = this.missing = this.duplicates = 0;
        this.latencies = []; /* [arrived, ms], oldest first */
        this.arrivals = new Uint32Array(WINDOW_MS / 1000 + 1); /* one per second, a ring */
        this.second = 0;
    }

    channel(name) {
        let c = this.channels.get(name);
        if (!c) {
            c = { name, seq: null, position: 0, epoch: '', received: 0 };
            this.channels.set(name, c);
        }
        return c;
    }

    /* One publication. Returns 'new', or 'duplicate' (also what comes out of order). */
    take(name, seq, position) {
        const c = this.channel(name);
        this.received++;
        c.received++;
        if (c.seq !== null && seq <= c.seq) {
            this.duplicates++;
            return 'duplicate';
        }
        if (c.seq !== null) {
            this.missing += seq - c.seq - 1;
        }
        c.seq = seq;
        c.position = position;
        return 'new';
    }

    /* The tick of rate and window; nowMs is monotonic. */
    advance(nowMs) {
        const second = Math.floor(nowMs / 1000);
        const n = this.arrivals.length;
        for (let s = Math.max(this.second + 1, second - n + 1); s <= second; s++) {
            this.arrivals[s % n] = 0;
        }
        this.second = second;
        let old = 0;
        while (old < this.latencies.length && this.latencies[old][0] < nowMs - WINDOW_MS) {
            old++;
        }
        this.latencies.splice(0, old);
    }

    arrived(nowMs, latencyMs) {
        this.advance(nowMs);
        this.arrivals[this.second % this.arrivals.length]++;
        if (latencyMs !== null) {
            this.latencies.push([nowMs, latencyMs]);
        }
    }

    /* Complete seconds, oldest first. */
    perSecond() {
        const n = this.arrivals.length;
        const out = [];
        for (let s = this.second - n + 1; s < this.second; s++) {
            out.push(s < 0 ? 0 : this.arrivals[s % n]);
        }
        return out;
    }

    rate() {
        const last = this.perSecond().slice(-5);
        return last.reduce((a, b) => a + b, 0) / last.length;
    }

    percentiles(wanted) {
        const sorted = this.latencies.map((l) => l[1]).sort((a, b) => a - b);
        return wanted.map((p) =>
            sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] : null);
    }
}
