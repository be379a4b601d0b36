/* SPDX-License-Identifier: Apache-2.0
 *
 * searx.c - a question to SearxNG, addresses back.
 *
 * Of the reply only the addresses are used: what a page says is taken from the page. The server is
 * the user's choice and commonly on this machine, so its address may be private; its results come
 * from strangers, so theirs may not (cli/web.h sees to that, for whoever fetches them). SearxNG
 * gives out JSON only if its settings say so, and answers 403 until they do: said in so many words.
 */
#include "cli/searx.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { MAX_REPLY_BYTES = 4 << 20, MAX_QUESTION_BYTES = 1000 };

void searx_release(struct searx_results *r)
{
    for (int i = 0; i < r->n; i++) free(r->url[i]);
    *r = (struct searx_results){0};
}

/* Keeps the address if it is one and new. */
static bool add(struct searx_results *r, const char *s, size_t n, struct err *err)
{
    struct err none = {0};
    if (strlen(s) != n || !web_is_address(s)) return true;
    char *url = web_address(s, &none);
    if (!url && none.code == ERR_MEMORY) return err_set(err, ERR_MEMORY, "no memory for results");
    bool is_new = url != NULL;
    for (int i = 0; i < r->n && is_new; i++) is_new = strcmp(r->url[i], url) != 0;
    if (is_new)
        r->url[r->n++] = url;
    else
        free(url);
    return true;
}

bool searx_read(const char *json, size_t n_bytes, int n_want, struct searx_results *out,
                struct err *err)
{
    *out = (struct searx_results){0};
    struct json_doc *d = json_parse(json, n_bytes, MAX_REPLY_BYTES, "the search's reply", err);
    if (!d) return false;
    const struct json results = json_get(json_root(d), "results");
    bool ok = json_type(results) == JSON_ARRAY ||
              err_set(err, ERR_FORMAT,
                      "the search's reply has no array \"results\"; is the address that of a "
                      "SearxNG server?");
    struct json_iter it = json_iter(results);
    struct json one;
    while (ok && out->n < n_want && json_next(&it, NULL, NULL, &one)) {
        const char *s = NULL;
        size_t n = 0;
        if (json_str(json_get(one, "url"), &s, &n)) ok = add(out, s, n, err);
    }
    json_free(d);
    if (!ok) searx_release(out);
    return ok;
}

static bool query_address(const char *base, const char *question, struct buf *out, struct err *err)
{
    char *address = web_address(base, err);
    if (!address) return err_wrap(err, "--searx");
    const size_t n = strlen(question);
    char *escaped = n && n <= MAX_QUESTION_BYTES ? curl_easy_escape(NULL, question, (int)n) : NULL;
    size_t n_base = strcspn(address, "?");
    while (n_base && address[n_base - 1] == '/') n_base--;
    buf_append(out, address, n_base);
    buf_printf(out, "/search?q=%s&format=json", escaped ? escaped : "");
    free(address);
    if (!escaped)
        return err_set(err, ERR_USAGE, "a question of %zu bytes; a web search takes 1 to %d", n,
                       MAX_QUESTION_BYTES);
    curl_free(escaped);
    return buf_check(out, "the search's address", err);
}

bool searx_ask(const char *base, const char *question, int n_want, int timeout_s,
               const struct progress *p, struct searx_results *out, struct err *err)
{
    const struct web_options opt = {.max_bytes = MAX_REPLY_BYTES,
                                    .timeout_s = timeout_s,
                                    .is_private_allowed = true,
                                    .progress = p};
    struct buf address;
    struct web_page page = {0};
    buf_init(&address, (size_t)1 << 16);
    struct web *w = web_new(&opt, err);
    bool ok = w && query_address(base, question, &address, err);
    if (ok) {
        ok = web_get(w, address.data, NULL, NULL, &page, err);
        if (!ok && page.status == 403)
            err_wrap(err, "the SearxNG server does not give out JSON; add json to search.formats "
                          "in its settings.yml");
        ok = ok &&
             searx_read(page.body.data ? page.body.data : "", page.body.n_bytes, n_want, out, err);
        buf_release(&page.body);
    }
    buf_release(&address);
    web_free(w);
    return ok;
}
