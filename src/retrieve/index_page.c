/* SPDX-License-Identifier: Apache-2.0
 *
 * index_page.c - a page that came over the network into the index.
 *
 * The content type decides who reads it, since the name of a page says little: "/notes.md?raw=1"
 * may be anything. Only where the type says no more than "text" or "bytes" do the name and the
 * bytes decide. Types that are neither are refused: a picture is no text, whatever its bytes look
 * like. The readers are those of files, with their bounds and their sandbox.
 */
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "retrieve/indexing.h"
#include "retrieve/reader.h"

/* Beginnings of types behind which the name and the bytes are asked. */
static const char *const open_types[] = {"text/",
                                         "application/json",
                                         "application/ld+json",
                                         "application/xml",
                                         "application/javascript",
                                         "application/yaml",
                                         "application/x-yaml",
                                         "application/toml",
                                         "application/x-sh",
                                         "application/octet-stream",
                                         "binary/octet-stream",
                                         NULL};

/* The path of the address, so that ".org" of a host is no extension. */
static void path_of(const char *url, struct buf *out)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    if (path) buf_append(out, path, strcspn(path, "?#"));
    buf_puts(out, "");
}

static const struct reader *choose(const struct index_page *p, const char *path)
{
    const char *mime = p->mime;
    if (strcasecmp(mime, "application/xhtml+xml") == 0) mime = "text/html";
    for (const struct reader *const *r = readers; *r; r++)
        if ((*r)->mime && strcasecmp((*r)->mime, mime) == 0 && strcasecmp(mime, "text/plain") != 0)
            return *r;
    bool is_open = !mime[0];
    for (const char *const *t = open_types; *t && !is_open; t++)
        is_open = strncasecmp(mime, *t, strlen(*t)) == 0;
    return is_open ? reader_find(path, NULL, p->data, p->n_bytes) : NULL;
}

/* True with `text` filled; false: the page's own fault. */
static bool read_page(const struct index_page *p, struct doc *text, const char **reader,
                      struct err *why)
{
    struct buf path;
    buf_init(&path, (size_t)1 << 16);
    path_of(p->url, &path);
    const struct reader *r = choose(p, path.data ? path.data : "");
    buf_release(&path);
    if (!r)
        return err_set(why, ERR_UNSUPPORTED,
                       "%.300s: nothing here reads its content (%s); it is passed over", p->url,
                       p->mime[0] ? p->mime : "no type given");
    *reader = r->name;
    const struct reader_input in = {.name = p->url,
                                    .data = p->data,
                                    .n_bytes = p->n_bytes,
                                    .charset = p->charset[0] ? p->charset : NULL};
    return reader_run(r, &in, text, why);
}

static bool put_page(struct store *s, const struct index_page *p, struct document *d,
                     const struct doc *text, struct index_stats *stats, struct err *err)
{
    struct chunks chunks = {0};
    const bool ok = chunk_doc(text, INDEX_TARGET_BYTES, &chunks, err) && store_begin(s, err) &&
                    store_add_root(s, p->url, err) && store_put(s, d, text, &chunks, NULL, err) &&
                    store_set_validators(s, p->url, p->etag, p->modified, err) &&
                    store_commit(s, err);
    stats->n_chunks += ok ? (int64_t)chunks.n : 0;
    chunks_release(&chunks);
    return ok;
}

bool index_page(struct store *s, const struct index_page *p, struct index_stats *stats,
                struct err *err)
{
    struct document old, d = {.path = p->url, .root = p->url, .size_bytes = (int64_t)p->n_bytes};
    struct doc text;
    struct err why = {0};
    const int known = store_find(s, p->url, &old, err);
    if (known < 0) return false;
    SHA256(p->data, p->n_bytes, d.sha256);
    if (known && memcmp(old.sha256, d.sha256, sizeof d.sha256) == 0) {
        stats->n_same++;
        return store_begin(s, err) && store_set_validators(s, p->url, p->etag, p->modified, err) &&
               store_commit(s, err);
    }
    doc_init(&text);
    bool ok = true;
    if (!read_page(p, &text, &d.reader, &why)) {
        stats->n_failed++;
        log_warn("%s", why.text);
    } else {
        d.title = text.title.data ? text.title.data : "";
        ok = put_page(s, p, &d, &text, stats, err);
        stats->n_bytes += p->n_bytes;
        if (known)
            stats->n_changed++;
        else
            stats->n_added++;
    }
    doc_release(&text);
    return ok;
}
