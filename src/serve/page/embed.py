"""embed.py OUT FILE... - writes the page's files and the OpenAPI document as a C table, for the build.

Each becomes a row {path, type, etag, bytes, length}; the etag is a hash of the bytes, so that a
browser asks again and gets 304 until the program changes.
"""
import hashlib, os, sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}

out = ["/* Made by embed.py from src/serve/page. */", '#include "serve/page.h"', ""]
rows = []
for i, path in enumerate(sys.argv[2:]):
    name = os.path.basename(path)
    data = open(path, "rb").read()
    out.append(f"static const unsigned char file_{i}[] = {{")
    out += ["    " + "".join(f"{b}," for b in data[at : at + 24]) for at in range(0, len(data), 24)]
    out.append("};")
    url = "" if name == "index.html" else name
    etag = hashlib.sha256(data).hexdigest()[:16]
    rows.append(f'    {{"{url}", "{TYPES[os.path.splitext(name)[1]]}", "\\"{etag}\\"", file_{i}, sizeof file_{i}}},')
out += ["const struct page_asset page_assets[] = {", *rows, "    {0},", "};", ""]
open(sys.argv[1], "w").write("\n".join(out))
