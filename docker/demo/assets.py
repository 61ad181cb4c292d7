# SPDX-License-Identifier: Apache-2.0
"""The demo's public parts: npm packages at exact versions, checked by their SHA-512, kept in the cache.

What the demo takes from them: the JavaScript SDK as published, the world's outline, a week of
earthquakes. Standard library only; npm does the download, once, or (in an image's build, where there is
none) plain HTTPS from the public registry.
"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import urllib.request

# name -> (version, SHA-512 of the package's tarball as the registry states it)
PACKAGES = {
    "centrifuge": (
        "5.8.0",
        "ENH1jz6VeRuGb3yHNhgB0V0SqRKX+iYdtM9Du/E59m484epjNPfsgJw4UbmOmjgSXGEita1UoOXlZ6Ba1ooT1g==",
    ),
    "vega-datasets": (
        "3.2.1",
        "lTSwZA6yq6qSU2YZm+6bqILiIvTPPxn4itir7jPGFmHIdPvUfQ9pCzzcrklYywMJgLUbaIeSkZQdiJd6wBxPug==",
    ),
    "world-atlas": (
        "2.0.2",
        "IXfV0qwlKXpckz1FhwXVwKRjiIhOnWttOskm5CtxMsjgE/MXAYRHWJqgXOpM8IkcPBoXnyTU5lFHcYa5ChG0LQ==",
    ),
}

# (package, file in it) -> its name in the served directory
PAGE_FILES = {
    ("centrifuge", "dist/centrifuge.js"): "centrifuge.js",
    ("centrifuge", "LICENSE"): "centrifuge.LICENSE.txt",
    ("world-atlas", "countries-110m.json"): "countries-110m.json",
    ("world-atlas", "LICENSE"): "world-atlas.LICENSE.txt",
}
QUAKES = ("vega-datasets", "data/earthquakes.json")


class AssetError(Exception):
    """A package could not be had, or isn't what it should be."""


def cache_dir():
    base = os.environ.get("FANFARE_CACHE")
    if not base:
        xdg = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(xdg, "fanfare")
    return pathlib.Path(base)


def fetch(name):
    """The directory of a package, unpacked; downloaded if the cache hasn't got it."""
    version, want = PACKAGES[name]
    home = cache_dir() / "npm" / f"{name}-{version}"
    if (home / "complete").exists():
        return home
    work = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tarball = (npm_pack if shutil.which("npm") else download)(name, version, work)
    got = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if got != want:
        raise AssetError(f"{name} {version} is not the file it was: sha512 {got}, expected {want}")
    unpack(tarball, work)
    tarball.unlink()
    (work / "complete").touch()
    shutil.rmtree(home, ignore_errors=True)
    work.rename(home)
    return home


def npm_pack(name, version, work):
    argv = ["npm", "pack", f"{name}@{version}", "--json", "--pack-destination", str(work)]
    done = subprocess.run(argv, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise AssetError(f"npm pack {name}@{version} failed:\n{done.stderr.strip()}")
    return next(work.glob("*.tgz"))


def download(name, version, work):
    url = f"https://registry.npmjs.org/{name}/-/{name}-{version}.tgz"
    tarball = work / "package.tgz"
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            tarball.write_bytes(reply.read())
    except OSError as error:
        raise AssetError(f"{url}: {error} (npm isn't there; with it, its settings would count)") from None
    return tarball


def unpack(tarball, into):
    """The package's plain files; npm puts all under one folder, `package`."""
    with tarfile.open(tarball) as tar:
        for member in tar.getmembers():
            path = pathlib.PurePosixPath(member.name)
            if not member.isfile() or ".." in path.parts or len(path.parts) < 2:
                continue
            target = into.joinpath(*path.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(tar.extractfile(member).read())


def fetch_all(say=lambda text: None):
    homes = {}
    for name, (version, _) in PACKAGES.items():
        if not (cache_dir() / "npm" / f"{name}-{version}" / "complete").exists():
            say(f"fetching {name} {version}")
        homes[name] = fetch(name)
    return homes


def make_site(page, homes, site):
    """The directory an edge serves: our page and what it needs from elsewhere."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(page, site)
    for (package, path), target in PAGE_FILES.items():
        shutil.copyfile(homes[package] / path, site / target)


# (channel, west, east, south, north): the first box a quake is in names its channel. A box that
# crosses 180° has west > east.
AREAS = [
    ("alaska", 170, -130, 50, 75),
    ("hawaii", -162, -153, 17, 24),
    ("northern-california", -126, -118.5, 37, 42),
    ("southern-california", -122, -114, 31, 37),
    ("nevada", -120, -114, 36, 42),
    ("pacific-northwest", -130, -116.5, 42, 50),
    ("rockies", -117, -104, 31, 49.5),
    ("central-us", -104, -60, 24, 50),
    ("caribbean", -75, -58, 9, 24),
    ("latin-america", -120, -30, -60, 33),
    ("japan-and-kurils", 118, 170, 22, 56),
    ("southeast-asia", 88, 150, -14, 22),
    ("south-pacific", 140, -120, -65, 22),
]
ELSEWHERE = "elsewhere"
CHANNELS = [area[0] for area in AREAS] + [ELSEWHERE]


def area_of(lon, lat):
    for name, west, east, south, north in AREAS:
        across = west <= lon <= east if west < east else lon >= west or lon <= east
        if across and south <= lat <= north:
            return name
    return ELSEWHERE


def make_events(homes, path):
    """The replay's input, oldest first: time, record key, JSON members. Returns how many."""
    features = json.loads((homes[QUAKES[0]] / QUAKES[1]).read_text())["features"]
    lines = []
    for f in sorted(features, key=lambda f: f["properties"]["time"]):
        about, (lon, lat, depth) = f["properties"], f["geometry"]["coordinates"]
        members = {
            "id": f["id"],
            "mag": about["mag"] or 0,
            "place": about["place"],
            "lon": lon,
            "lat": lat,
            "depth": depth,
            "time": about["time"],
        }
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
        lines.append(f"{about['time']}\t{area_of(lon, lat)}\t{text[1:-1]}\n")
    path.write_text("".join(lines))
    return len(lines)
