# SPDX-License-Identifier: Apache-2.0
"""The demo's page in headless Chromium against the real demo: what it shows, its buttons, its manners."""

import json
import os
import pathlib
import re
import urllib.error
import urllib.request

import pytest
from assets import CHANNELS

from harness.util import wait_until

REPO = pathlib.Path(__file__).resolve().parents[2]
STORY_DONE = "['good', 'bad'].includes(document.querySelector('#story').dataset.kind)"
WATCH_STORY = """(() => {
    const story = document.querySelector('#story');
    window.kinds = [];
    new MutationObserver(() => window.kinds.push(story.dataset.kind))
        .observe(story, {attributes: true, attributeFilter: ['data-kind']});
})()"""
COLOURS = """(() => {
    const c = document.querySelector('#map');
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    const seen = new Set();
    for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
    return seen.size;
})()"""
QUANTILES = "['p50', 'p95', 'p99'].map(id => parseFloat("
QUANTILES += "document.getElementById(id).textContent.replace(',', '')))"  # a second is 1,000 ms
RECEIVED = "Number(document.querySelector('#received').textContent.replace(',', ''))"


def proof(page):
    return {k: page.number(f"#{k}") for k in ("received", "missing", "duplicates")}


def assert_exact(page):
    counts = proof(page)
    assert (counts["missing"], counts["duplicates"]) == (0, 0)
    return counts


def lose(page, button):
    """Clicks it when some records are there; what the page tells when it is back. That it was away is kept by
    the page itself: whoever looks now and then may come too late."""
    page.wait(f"{RECEIVED} > 30")
    page.wait(f"!document.querySelector('{button}').disabled")
    page.js(WATCH_STORY)
    page.click(button)
    page.wait("window.kinds.includes('away')")
    page.wait(STORY_DONE, 40)
    return page.text("#story-head"), page.text("#story-text")


def test_shows_what_arrives(page, demo):
    page.wait(f"{RECEIVED} > 60")
    page.wait("document.querySelector('#p99').textContent.includes('ms')")
    assert page.text("#edge") in demo[0].ports
    assert page.text("#pill-text") == "Live"
    assert page.js("document.querySelectorAll('#channels tr').length") == len(CHANNELS)
    assert page.js("document.querySelectorAll('#latest li').length") > 3
    page.wait("Number(document.querySelector('#rate').textContent) > 1")
    positions = page.js(
        "[...document.querySelectorAll('#channels td:nth-child(2)')].map(e => e.textContent)"
    )
    assert any(int(p.replace(",", "")) > 0 for p in positions)
    p50, p95, p99 = page.js(QUANTILES)
    assert 0 <= p50 <= p95 <= p99 < 5000
    assert_exact(page)


def test_draws_land_and_rings(page):
    page.wait(f"{RECEIVED} > 30")
    page.wait(f"{COLOURS} > 50")  # land, sea, and fading rings in three colours


def test_cut_resumes_with_nothing_missing(page):
    edge = page.text("#edge")
    head, text = lose(page, "#cut")
    assert head == "Resumed with nothing missing."
    away, recovered = re.match(r"Away for ([\d.]+) s; .* ([\d,]+) records? recovered", text).groups()
    assert float(away) >= 3
    assert int(recovered.replace(",", "")) >= 20
    assert f"on {edge} again" in text
    assert "from its own position" in text
    assert page.js("!document.querySelector('#story-more').hidden")
    assert page.js("document.querySelectorAll('#story-rows tr').length") == len(CHANNELS)
    assert_exact(page)


def test_kill_resumes_on_the_other_edge(page, demo):
    stack = demo[0]
    edge = page.text("#edge")
    pid = stack.edges[edge].pid
    head, text = lose(page, "#kill")
    assert head == "Resumed with nothing missing."
    assert f"instead of {edge}" in text
    assert page.text("#edge") != edge
    assert_exact(page)
    wait_until(
        lambda: stack.edges[edge].pid != pid and stack.connections(edge) is not None,
        f"{edge} is back",
        20,
    )


def test_buttons_work_by_keyboard(page):
    page.wait(f"{RECEIVED} > 10")
    for _ in range(20):
        page.press("Tab", 9)
        if page.js("document.activeElement.id") == "cut":
            break
    assert page.js("document.activeElement.id") == "cut"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.press("Enter", 13)
    page.wait(STORY_DONE, 40)
    assert page.text("#story-head") == "Resumed with nothing missing."


@pytest.mark.parametrize("token", ["", "wrong"])
def test_killing_needs_the_token(demo, token):
    url = f"{demo[1].url}/kill?edge=edge-a"
    request = urllib.request.Request(url, method="POST", headers={"X-Demo-Token": token})
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(request, timeout=5)
    told.value.close()
    assert told.value.code == 403
    assert demo[0].edges["edge-a"].is_running()


def test_takes_nothing_from_outside(page):
    urls = page.js("performance.getEntriesByType('resource').map(e => e.name)")
    assert len(urls) >= 8
    assert all(u.startswith("http://127.0.0.1:") for u in urls)


CONTRAST = """(() => {
    const channel = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
    const parse = (c) => c.match(/[\\d.]+/g).map(Number);
    const behind = (e) => {
        for (; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c;
        }
        return [255, 255, 255];
    };
    const bad = [];
    for (const e of document.querySelectorAll('body *')) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || e.disabled || !e.checkVisibility()) continue;
        const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < 4.5) bad.push(`${e.tagName}.${e.className}#${e.id} ${ratio.toFixed(2)}`);
    }
    return bad;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page, scheme):
    page.view(1440, 900, scheme)
    page.wait(f"{RECEIVED} > 20")
    assert page.js(CONTRAST) == []


def test_theme_toggle_overrules_the_system(page):
    def background():
        return page.js("getComputedStyle(document.body).backgroundColor")

    light = background()
    page.click("#theme")
    dark = background()
    assert dark != light
    assert page.text("#theme") == "Light"
    page.click("#theme")
    assert background() == light


def test_names_and_structure(page):
    page.wait(f"{RECEIVED} > 5")
    assert page.js("document.documentElement.lang") == "en"
    assert page.js("document.querySelectorAll('h1').length") == 1
    nameless = page.js(
        "[...document.querySelectorAll('button, a, [role=img], [role=region], section')]"
        ".filter(e => !(e.textContent.trim() || e.getAttribute('aria-label')"
        " || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []
    broken = page.js(
        "[...document.querySelectorAll('[aria-labelledby]')]"
        ".filter(e => !document.getElementById(e.getAttribute('aria-labelledby'))).length"
    )
    assert broken == 0
    assert page.js("document.querySelector('#story').getAttribute('aria-live')") == "polite"
    assert page.js("document.querySelectorAll('[aria-live]').length") == 1


def test_fits_a_phone(page):
    page.view(390, 844, "dark", 2)
    page.wait(f"{RECEIVED} > 20")
    assert page.js("document.documentElement.scrollWidth") <= 390
    small = page.js(
        "[...document.querySelectorAll('.actions button')]"
        ".filter(e => e.getBoundingClientRect().height < 44).length"
    )
    assert small == 0


def test_reduced_motion_draws_seldom(page):
    page.view(1440, 900, motion="reduce")
    page.wait(f"{RECEIVED} > 5")
    draws = page.js(
        "new Promise((done) => { const g = document.querySelector('#map').getContext('2d');"
        "const draw = g.drawImage.bind(g); let n = 0;"
        "g.drawImage = (...a) => { n++; draw(...a); };"
        "setTimeout(() => { delete g.drawImage; done(n); }, 2000); })"
    )
    assert 1 <= draws <= 6


def test_without_the_demo_says_so(page, demo):
    hidden = demo[0].site / "demo.json"
    text = hidden.read_text()
    hidden.unlink()
    try:
        page.reload()
        page.wait("document.querySelector('#story')?.dataset.kind === 'bad'")
        assert "./dev demo" in page.text("#story-text")
    finally:
        hidden.write_text(text)


def test_one_address_for_all_edges(page, demo):
    """As behind a load balancer: the page connects to whoever served it, and nobody can kill an edge."""
    told = demo[0].site / "demo.json"
    text = told.read_text()
    alone = json.loads(text) | {"edges": [{"name": "an edge", "url": "connection/websocket"}]}
    told.write_text(json.dumps({k: v for k, v in alone.items() if k not in ("control", "token")}))
    try:
        page.reload()
        page.wait(f"{RECEIVED} > 5")
        assert page.text("#edge") == "edge-a" and page.text("#pill-text") == "Live"
        assert page.js("document.querySelector('#kill').disabled")
        assert_exact(page)
    finally:
        told.write_text(text)


def test_screenshot_for_the_docs(page, tmp_path):
    """docs/demo.png; made anew only if it is absent or FANFARE_SCREENSHOT is set."""
    page.wait(f"{RECEIVED} > 250", 60)
    head, _ = lose(page, "#kill")
    assert head == "Resumed with nothing missing."
    page.wait("!document.querySelector('#kill').disabled")
    target = REPO / "docs" / "demo.png"
    if target.exists() and not os.environ.get("FANFARE_SCREENSHOT"):
        target = tmp_path / "demo.png"
    page.screenshot(target)
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert target.stat().st_size > 50_000


def test_demo_json_says_what_runs(demo):
    port = demo[0].ports["edge-b"]
    wait_until(lambda: demo[0].connections("edge-b") is not None, "edge-b is up", 20)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/demo.json", timeout=5) as reply:
        about = json.load(reply)
        assert reply.headers["Access-Control-Allow-Origin"] is None
    assert [e["name"] for e in about["edges"]] == list(demo[0].ports)
    assert len(about["channels"]) == len(CHANNELS)
