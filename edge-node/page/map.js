/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.js: the world on a canvas, and rings on it. Land is TopoJSON (arcs of quantised deltas),
 * decoded here and drawn in the Equal Earth projection with the Pacific, where most of it happens,
 * in the middle. Land is painted once per size and theme into a second canvas; a frame copies that
 * and draws the rings. With prefers-reduced-motion nothing moves: dots appear and fade in steps.
 */

const CENTRE = 155; /* the seam runs through the Atlantic, at 25° west */
const LAT_TOP = 84, LAT_BOTTOM = -58; /* no quake of the week is outside */
const RING_MS = 2600, DOT_MS = 45_000, LABEL_MS = 5200, STRONG = 4.5;
const A = [1.340264, -0.081106, 0.000893, 0.003796]; /* Equal Earth, Šavrič et al. 2018 */
const M = Math.sqrt(3) / 2;

/* Degrees to the projection's own units; lon is relative to the centre and may exceed 180. */
export function project(lon, lat) {
    const t = Math.asin(M * Math.sin(lat * Math.PI / 180));
    const t2 = t * t, t6 = t2 * t2 * t2;
    const dy = A[0] + 3 * A[1] * t2 + t6 * (7 * A[2] + 9 * A[3] * t2);
    return [lon * Math.PI / 180 * Math.cos(t) / (M * dy), t * (A[0] + A[1] * t2 + t6 * (A[2] + A[3] * t2))];
}

/* A line that crosses 180° goes on beyond it, instead of jumping to the other side. */
function unwrap(line) {
    let turn = 0;
    return line.map(([lon, lat], i) => {
        if (i) {
            turn -= 360 * Math.round((lon - line[i - 1][0]) / 360);
        }
        return [lon + turn, lat];
    });
}

/* One line of [lon, lat] per arc. */
export function decodeArcs(topology) {
    const { scale, translate } = topology.transform;
    return topology.arcs.map((arc) => {
        let x = 0, y = 0;
        return arc.map(([dx, dy]) => {
            x += dx;
            y += dy;
            return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
        });
    });
}

/* The rings of an object: ~i means arc i backwards; an arc's first point is the last one's end. */
export function decodeRings(geometry, arcs) {
    const ring = (indices) => unwrap(indices.flatMap((i, n) => {
        const line = i < 0 ? [...arcs[~i]].reverse() : arcs[i];
        return n ? line.slice(1) : line;
    }));
    switch (geometry.type) {
    case 'GeometryCollection':
        return geometry.geometries.flatMap((g) => decodeRings(g, arcs));
    case 'MultiPolygon':
        return geometry.arcs.flat().map(ring);
    case 'Polygon':
        return geometry.arcs.map(ring);
    default:
        return [];
    }
}

function sizeClass(mag) {
    return mag >= STRONG ? 'strong' : mag >= 2.5 ? 'moderate' : 'minor';
}

export class WorldMap {
    constructor(canvas, topology) {
        this.canvas = canvas;
        this.g = canvas.getContext('2d');
        this.land = document.createElement('canvas');
        this.arcs = topology ? decodeArcs(topology) : [];
        this.rings = topology ? decodeRings(topology.objects.land, this.arcs) : [];
        this.quakes = [];
        this.still = matchMedia('(prefers-reduced-motion: reduce)');
        new ResizeObserver(() => this.resize()).observe(canvas);
        addEventListener('themechange', () => this.resize());
        this.resize();
        this.frame(0);
    }

    add(lon, lat, mag, place) {
        this.quakes.push({ at: performance.now(), lon, lat, mag, place, cls: sizeClass(mag) });
        if (this.quakes.length > 1500) {
            this.quakes.shift();
        }
    }

    resize() {
        const css = getComputedStyle(document.documentElement);
        const box = this.canvas.getBoundingClientRect();
        this.dpr = Math.min(devicePixelRatio || 1, 2);
        this.w = Math.max(1, box.width);
        this.h = Math.max(1, box.height);
        for (const c of [this.canvas, this.land]) {
            c.width = Math.round(this.w * this.dpr);
            c.height = Math.round(this.h * this.dpr);
        }
        this.colour = {};
        for (const name of ['sea', 'land', 'border', 'grid', 'minor', 'moderate', 'strong', 'ink', 'panel']) {
            this.colour[name] = css.getPropertyValue(`--${name}`).trim();
        }
        const top = project(0, LAT_TOP)[1], bottom = project(0, LAT_BOTTOM)[1];
        const half = project(180, 0)[0];
        this.k = Math.min(this.w / (2 * half), this.h / (top - bottom)) * 0.995;
        this.cx = this.w / 2;
        this.cy = this.h / 2 + this.k * (top + bottom) / 2;
        this.paintLand();
    }

    xy(lon, lat) {
        const [x, y] = project(lon, lat);
        return [this.cx + this.k * x, this.cy - this.k * y];
    }

    place(lon, lat) {
        let rel = lon - CENTRE;
        rel -= 360 * Math.round(rel / 360);
        return this.xy(rel, lat);
    }

    trace(g, lines, shift, close) {
        g.beginPath();
        for (const line of lines) {
            line.forEach(([lon, lat], i) => {
                const [x, y] = this.xy(lon - CENTRE + shift, lat);
                if (i) {
                    g.lineTo(x, y);
                } else {
                    g.moveTo(x, y);
                }
            });
            if (close) {
                g.closePath();
            }
        }
    }

    outline(g) {
        const edge = [];
        for (let lat = LAT_BOTTOM; lat <= LAT_TOP; lat += 3) {
            edge.push(this.xy(180, lat));
        }
        for (let lat = LAT_TOP; lat >= LAT_BOTTOM; lat -= 3) {
            edge.push(this.xy(-180, lat));
        }
        g.beginPath();
        edge.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
        g.closePath();
    }

    paintLand() {
        const g = this.land.getContext('2d');
        g.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
        g.clearRect(0, 0, this.w, this.h);
        this.outline(g);
        g.fillStyle = this.colour.sea;
        g.fill();
        g.save();
        g.clip();
        const grid = [];
        for (let lon = -180; lon < 180; lon += 30) {
            grid.push([-60, -30, 0, 30, 60, 80].map((lat) => [lon + CENTRE, lat]));
        }
        for (let lat = -30; lat <= 60; lat += 30) {
            grid.push([[CENTRE - 180, lat], [CENTRE + 180, lat]]);
        }
        this.trace(g, grid, 0, false);
        g.strokeStyle = this.colour.grid;
        g.lineWidth = 0.6;
        g.stroke();
        const lines = this.arcs.map(unwrap).filter((a) => !a.every(([lon]) => Math.abs(lon) > 179.9));
        for (const shift of [-360, 0, 360]) { /* what is beyond one end shows at the other */
            this.trace(g, this.rings, shift, true);
            g.fillStyle = g.strokeStyle = this.colour.land;
            g.lineWidth = 0.5;
            g.fill('evenodd');
            g.stroke(); /* closes the hairline at 180° */
            this.trace(g, lines, shift, false);
            g.strokeStyle = this.colour.border;
            g.stroke();
        }
        g.restore();
    }

    frame(now) {
        requestAnimationFrame((t) => this.frame(t));
        if (this.still.matches && now - (this.drawn ?? -1e9) < 500) {
            return;
        }
        this.drawn = now;
        const g = this.g;
        g.setTransform(1, 0, 0, 1, 0, 0);
        g.clearRect(0, 0, this.canvas.width, this.canvas.height);
        g.drawImage(this.land, 0, 0);
        g.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
        const t = performance.now();
        this.quakes = this.quakes.filter((q) => t - q.at < DOT_MS);
        const unit = Math.max(0.62, Math.min(1.25, this.w / 900));
        for (const q of this.quakes) {
            this.drawQuake(g, q, t - q.at, unit);
        }
        g.globalAlpha = 1;
        this.drawLabels(g, t);
    }

    drawQuake(g, q, age, unit) {
        const [x, y] = this.place(q.lon, q.lat);
        const size = (1.6 + Math.max(0, q.mag) * 0.55) * unit;
        g.fillStyle = g.strokeStyle = this.colour[q.cls];
        g.globalAlpha = 0.75 * (1 - age / DOT_MS);
        g.beginPath();
        g.arc(x, y, size, 0, 7);
        g.fill();
        if (this.still.matches || age > RING_MS) {
            return;
        }
        const reach = (7 + Math.pow(Math.max(0, q.mag), 1.75) * 1.9) * unit;
        for (const delay of q.mag >= STRONG ? [0, 0.18] : [0]) {
            const p = age / RING_MS - delay;
            if (p > 0) {
                const out = 1 - Math.pow(1 - p, 3);
                g.globalAlpha = 0.9 * (1 - p) * (1 - p);
                g.lineWidth = (1 + q.mag * 0.22) * unit;
                g.beginPath();
                g.arc(x, y, size + reach * out, 0, 7);
                g.stroke();
            }
        }
    }

    /* The last strong one is named; more would be clutter. */
    drawLabels(g, t) {
        const q = this.quakes.findLast((e) => e.mag >= STRONG);
        if (!q || t - q.at > LABEL_MS || this.w < 560) {
            return;
        }
        const age = t - q.at;
        const [x, y] = this.place(q.lon, q.lat);
        const text = `${q.mag.toFixed(1)}  ${q.place.replace(/^.* of /, '')}`;
        g.font = '600 12.5px Inter, system-ui, sans-serif';
        const width = g.measureText(text).width;
        const left = x + 16 + width > this.w ? x - 16 - width : x + 16;
        g.globalAlpha = this.still.matches ? 1 : Math.min(1, age / 200, (LABEL_MS - age) / 600);
        g.lineJoin = 'round';
        g.lineWidth = 4;
        g.strokeStyle = this.colour.sea;
        g.strokeText(text, left, y + 4);
        g.fillStyle = this.colour.ink;
        g.fillText(text, left, y + 4);
        g.globalAlpha = 1;
    }
}
