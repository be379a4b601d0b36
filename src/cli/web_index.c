/* SPDX-License-Identifier: Apache-2.0
 *
 * web_index.c - a page into the index; one that has not changed is not sent again.
 *
 * The ETag and date that came with a page are kept beside it and sent along the next time. A server
 * that answers 304 has said that the copy is right; one that sends the page anyway is checked by
 * SHA-256, like a file.
 */
#include "cli/web_index.h"

#include "base/log.h"

/* Network into index. */
static bool take(struct store *s, const char *url, const struct web_page *page,
                 struct index_stats *stats, struct err *err)
{
    const uint8_t *data = (const uint8_t *)(page->body.data ? page->body.data : "");
    const struct index_page p = {.url = url,
                                 .mime = page->type.mime,
                                 .charset = page->type.charset,
                                 .etag = page->etag,
                                 .modified = page->modified,
                                 .data = data,
                                 .n_bytes = page->body.n_bytes};
    if (!page->is_unchanged) return index_page(s, &p, stats, err);
    stats->n_same++;
    return true;
}

bool web_index(struct web *w, struct store *s, const char *url, struct index_stats *stats,
               struct err *err)
{
    struct web_page page;
    struct validators known;
    struct err why = {0};
    if (!store_get_validators(s, url, &known, err)) return false;
    bool ok = true;
    if (web_get(w, url, known.etag, known.modified, &page, &why)) {
        ok = take(s, url, &page, stats, err);
    } else if (why.code == ERR_CANCELLED) {
        *err = why;
        ok = false;
    } else {
        stats->n_failed++;
        log_warn("%s", why.text);
    }
    buf_release(&page.body);
    return ok;
}
