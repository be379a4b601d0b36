/* SPDX-License-Identifier: Apache-2.0
 *
 * http_check.c - rules on headers that libevent's evhttp does not enforce.
 *
 * evhttp takes two Content-Length, "Transfer-Encoding: xchunked", names with blanks before the
 * colon and NUL bytes. Alone that harms nobody; behind a proxy that reads them another way a
 * second request hides in the body of the first. Such a request is refused and its connection
 * closed, since nobody knows where the next one begins.
 */
#include "serve/http_check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

enum { MAX_HEADERS = 100 };

void header_scan(struct header_scan *s, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && !s->is_over; i++) {
        const char c = bytes[i];
        if (c == '\0') s->has_nul = true;
        if (c == '\n') {
            /* empty lines before the request line are skipped by evhttp too */
            s->is_over = s->n_line == 0 && s->is_past_first;
            s->is_past_first |= s->n_line > 0;
            s->n_line = 0;
        } else if (c != '\r') {
            if (s->n_line++ == 0 && s->is_past_first && (c == ' ' || c == '\t')) s->has_fold = true;
        }
    }
}

static bool is_token(const char *name)
{
    if (!*name) return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name)) return false;
    return true;
}

static bool is_digits(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s) && strlen(s) <= 18;
}

bool http_check(const struct evkeyvalq *headers, const struct header_scan *s, struct refusal *r)
{
    int n = 0, n_lengths = 0, n_codings = 0, n_hosts = 0;
    const struct evkeyval *h;
    if (s->has_nul) return refuse(r, REFUSAL_HTTP, NULL, "a header holds a NUL byte");
    if (s->has_fold) return refuse(r, REFUSAL_HTTP, NULL, "a header is folded over two lines");
    TAILQ_FOREACH(h, headers, next)
    {
        if (++n > MAX_HEADERS)
            return refuse(r, REFUSAL_HTTP, NULL, "more than %d headers", MAX_HEADERS);
        if (!is_token(h->key))
            return refuse(r, REFUSAL_HTTP, NULL, "a header's name holds blanks or is empty");
        const bool is_length = strcasecmp(h->key, "Content-Length") == 0;
        const bool is_coding = strcasecmp(h->key, "Transfer-Encoding") == 0;
        if (is_length && !is_digits(h->value))
            return refuse(r, REFUSAL_HTTP, NULL, "Content-Length is no whole number");
        if (is_coding && strcasecmp(h->value, "chunked") != 0)
            return refuse(r, REFUSAL_HTTP, NULL, "Transfer-Encoding is not chunked");
        n_lengths += is_length;
        n_codings += is_coding;
        n_hosts += strcasecmp(h->key, "Host") == 0;
    }
    if (n_lengths + n_codings > 1)
        return refuse(r, REFUSAL_HTTP, NULL, "more than one Content-Length or Transfer-Encoding");
    if (n_hosts != 1) return refuse(r, REFUSAL_HTTP, NULL, "%d Host headers; send one", n_hosts);
    return true;
}

/* ---- names ---- */

/* Copies the name out of "name", "name:port" or "[v6]:port", in small letters. */
static bool host_name(const char *value, char *out, size_t n_out)
{
    const bool is_v6 = *value == '[';
    const char *end = is_v6 ? strchr(value, ']') : strchr(value, ':');
    if (is_v6) value++;
    const size_t n = end ? (size_t)(end - value) : strlen(value);
    if (n == 0 || n >= n_out || (is_v6 && !end)) return false;
    for (size_t i = 0; i < n; i++) out[i] = (char)tolower((unsigned char)value[i]);
    out[n] = '\0';
    return true;
}

static bool is_one_of(const char *s, const char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (strcasecmp(s, list[i]) == 0) return true;
    return false;
}

static bool is_ours(const struct host_rule *rule, const char *name)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "::1"};
    return rule->is_public || strcasecmp(name, rule->own) == 0 || is_one_of(name, loopback, 3) ||
           is_one_of(name, rule->hosts, rule->n_hosts);
}

static bool is_same_origin(const struct host_rule *rule, const char *origin, const char *host)
{
    const char *scheme = rule->is_tls ? "https://" : "http://";
    const size_t n = strlen(scheme);
    return strncasecmp(origin, scheme, n) == 0 && strcasecmp(origin + n, host) == 0;
}

bool host_check(const struct host_rule *rule, const struct evkeyvalq *headers, const char **origin,
                struct refusal *r)
{
    char name[260];
    const char *host = evhttp_find_header(headers, "Host");
    const char *page = evhttp_find_header(headers, "Origin");
    *origin = NULL;
    if (!host || !host_name(host, name, sizeof name) || !is_ours(rule, name))
        return refuse(r, REFUSAL_ORIGIN, NULL,
                      "the Host header is not a name of this server; use its address, or start it "
                      "with --allow-host");
    if (!page || is_same_origin(rule, page, host)) return true;
    if (!is_one_of("*", rule->origins, rule->n_origins) &&
        !is_one_of(page, rule->origins, rule->n_origins))
        return refuse(r, REFUSAL_ORIGIN, NULL,
                      "web pages of this origin may not ask; start the server with --cors ORIGIN");
    *origin = page;
    return true;
}
