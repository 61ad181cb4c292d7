/* SPDX-License-Identifier: Apache-2.0 */
/*
 * absence.js: the story of one time away: begun by a cut, a kill or a lost connection, closed when
 * every channel is subscribed again and what happened meanwhile has come. Its words are what the
 * ledger counted, never what was hoped for.
 */

const plural = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

export class Absence {
    /* cause: 'cut' | 'kill' | 'lost'; ledger: what was counted until now. */
    constructor(cause, edge, ledger, mono) {
        this.cause = cause;
        this.edgeBefore = edge;
        this.left = mono;
        this.back = null;
        this.backWall = null;
        this.missingBefore = ledger.missing;
        this.duplicatesBefore = ledger.duplicates;
        this.rows = new Map(); /* channel -> {from, recovered, told} */
        this.recovered = 0;
    }

    subscribed(channel, from, told, mono, wall) {
        this.back = mono;
        this.backWall = wall;
        this.rows.set(channel, { from, recovered: 0, told });
    }

    /* A record that was produced before we were back: it was recovered. */
    isRecovered(producedWall) {
        return this.backWall === null || producedWall < this.backWall;
    }

    record(channel) {
        const row = this.rows.get(channel);
        this.recovered++;
        if (row) {
            row.recovered++;
        }
    }

    begun() {
        return {
            cut: ['Connection cut.', 'The socket is gone; for three seconds no new one will succeed. The records go on without us.'],
            kill: [`${this.edgeBefore} killed.`, 'Its process is gone, without a goodbye. Looking for another edge.'],
            lost: ['Connection lost.', 'Looking for an edge.'],
        }[this.cause];
    }

    verdict(ledger, edge) {
        const missing = ledger.missing - this.missingBefore;
        const twice = ledger.duplicates - this.duplicatesBefore;
        const told = [...this.rows.values()].filter((r) => r.told).length;
        const away = ((this.back - this.left) / 1000).toFixed(1);
        const where = edge === this.edgeBefore ? `on ${edge} again` : `on ${edge} instead of ${this.edgeBefore}`;
        const went = [...this.rows.entries()].filter(([, r]) => r.from > 0);
        const first = went.sort((a, b) => b[1].recovered - a[1].recovered)[0];
        const from = first
            ? ` Each of ${plural(went.length, 'channel')} went on from its own position, ${first[0]} from ${first[1].from.toLocaleString('en')}.`
            : '';
        const good = missing === 0 && twice === 0 && told === 0;
        const head = good
            ? 'Resumed with nothing missing.'
            : `Resumed with ${plural(missing, 'record')} missing and ${plural(twice, 'duplicate')}.`;
        const gap = told ? ` ${plural(told, 'channel was', 'channels were')} told of a gap.` : '';
        const text = `Away for ${away} s; now ${where}. ${plural(this.recovered, 'record')} recovered, ` +
            `${missing} missing, ${plural(twice, 'duplicate')}.${gap}${from}`;
        return { good, head, text };
    }
}
