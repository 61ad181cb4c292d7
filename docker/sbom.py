# SPDX-License-Identifier: Apache-2.0
"""sbom.py PROGRAM VERSION ADMINDIR: an image's bill of materials as CycloneDX 1.5, on standard output.

The program and every Debian package of the image whose dpkg database is in ADMINDIR. The same image gives the
same text: it has no time and no random number. Standard library only; dpkg-query reads the database.
"""

import json
import subprocess
import sys
import urllib.parse

FIELDS = ["db:Status-Status", "Package", "Version", "Architecture", "source:Package", "source:Version"]
FORMAT = "\t".join(f"${{{field}}}" for field in FIELDS) + "\n"


def packages(admindir):
    argv = ["dpkg-query", f"--admindir={admindir}", "-W", "-f", FORMAT]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    rows = (line.split("\t") for line in text.splitlines())
    return sorted(tuple(row[1:]) for row in rows if row[0] == "installed")


def component(row, distro):
    name, version, arch, source, source_version = row
    query = f"arch={arch}&distro={distro}"
    if (source, source_version) != (name, version):
        query += f"&upstream={urllib.parse.quote(f'{source}@{source_version}', safe='')}"
    purl = f"pkg:deb/debian/{name}@{urllib.parse.quote(version, safe='')}?{query}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def sbom(program, version, rows, distro):
    parts = [component(row, distro) for row in rows]
    ref = f"pkg:generic/{program}@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ref,
                "name": program,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": ref,
            }
        },
        "components": parts,
    }


def main(argv):
    program, version, admindir = argv
    json.dump(sbom(program, version, packages(admindir), "debian-13"), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
