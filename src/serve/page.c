/* SPDX-License-Identifier: Apache-2.0
 *
 * page.c - serves the chat page (page/) out of the program itself.
 *
 * The page shows what models write, and that may be what a stranger put into their prompt. So its
 * answers carry a policy under which even a mistake in the page runs nothing: scripts, styles and
 * requests from this server only, nothing inline, no frame, and (trusted types) no way from a
 * string to HTML. A browser keeps the files but asks each time whether they changed, since the
 * program may have been replaced.
 */
#include "serve/page.h"

#include <string.h>

#include "serve/server.h"

static const char policy[] = "default-src 'self'; object-src 'none'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'; "
                             "require-trusted-types-for 'script'; trusted-types 'none'";

static const struct page_asset *find_asset(const char *path)
{
    for (const struct page_asset *a = page_assets; a->path; a++)
        if (strcmp(a->path, path) == 0) return a;
    return NULL;
}

void page_reply(struct exchange *ex, const char *path)
{
    const struct page_asset *a = find_asset(path);
    struct buf *out = &ex->server->text;
    struct refusal r = {0};
    buf_clear(out);
    if (!a) {
        refuse(&r, REFUSAL_NO_ROUTE, NULL, "the page has no such file; it begins at /");
        exchange_refuse(ex, &r);
        return;
    }
    const char *known =
        evhttp_find_header(evhttp_request_get_input_headers(ex->req), "If-None-Match");
    const bool is_known = known && strstr(known, a->etag);
    struct evkeyvalq *h = evhttp_request_get_output_headers(ex->req);
    evhttp_add_header(h, "Content-Security-Policy", policy);
    evhttp_add_header(h, "Referrer-Policy", "no-referrer");
    evhttp_add_header(h, "Cross-Origin-Opener-Policy", "same-origin");
    evhttp_add_header(h, "Cross-Origin-Resource-Policy", "same-origin");
    evhttp_add_header(h, "Cache-Control", "no-cache");
    evhttp_add_header(h, "ETag", a->etag);
    if (!is_known) buf_append(out, a->bytes, a->n_bytes);
    if (out->is_failed) {
        refuse(&r, REFUSAL_SERVER, NULL, "no memory for the page");
        exchange_refuse(ex, &r);
        return;
    }
    exchange_reply(ex, is_known ? 304 : 200, is_known ? NULL : a->type, is_known ? NULL : out);
}
