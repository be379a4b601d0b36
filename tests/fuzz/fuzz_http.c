/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_http.c - any bytes as the head of a request: the scan finds the same however the bytes are
 * cut, and the rules for headers either pass or say why.
 *
 * Lines "Name: value" become headers as libevent would have them; what libevent itself refuses to
 * add is left out.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "fuzz.h"
#include "serve/http_check.h"

static void add_line(struct evkeyvalq *headers, char *line)
{
    char *value = strchr(line, ':');
    if (!value) return;
    *value++ = '\0';
    while (*value == ' ' || *value == '\t') value++;
    evhttp_add_header(headers, line, value);
}

static void check_rules(const struct evkeyvalq *headers, const struct header_scan *scan)
{
    static const char *const names[] = {"llm.example.org"}, *const pages[] = {"https://a.example"};
    struct refusal r = {0};
    fuzz_must(http_check(headers, scan, &r) == (r.kind == REFUSAL_NONE));
    fuzz_must(!scan->has_nul || r.kind != REFUSAL_NONE);
    for (int i = 0; i < 4; i++) {
        const struct host_rule rule = {
            .own = "127.0.0.1",
            .is_public = i & 1,
            .is_tls = i & 2,
            .hosts = names,
            .n_hosts = 1,
            .origins = pages,
            .n_origins = 1,
        };
        const char *origin = NULL;
        struct refusal why = {0};
        fuzz_must(host_check(&rule, headers, &origin, &why) == (why.kind == REFUSAL_NONE));
        if (origin) fuzz_touch(origin, strlen(origin) + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct header_scan whole = {0}, cut = {0};
    const char *s = (const char *)data;
    header_scan(&whole, s, n_bytes);
    for (size_t i = 0, n = 0; i < n_bytes; i += n) {
        n = 1 + data[i] % 7;
        if (n > n_bytes - i) n = n_bytes - i;
        header_scan(&cut, s + i, n);
    }
    fuzz_must(whole.is_over == cut.is_over && whole.has_nul == cut.has_nul &&
              whole.has_fold == cut.has_fold && whole.is_past_first == cut.is_past_first);
    char *text = malloc(n_bytes + 1), *rest = text;
    struct evkeyvalq headers;
    if (!text) return 0;
    memcpy(text, data, n_bytes);
    text[n_bytes] = '\0';
    TAILQ_INIT(&headers);
    for (char *line; (line = strsep(&rest, "\n"));) add_line(&headers, line);
    check_rules(&headers, &whole);
    evhttp_clear_headers(&headers);
    free(text);
    return 0;
}
