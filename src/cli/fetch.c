/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.c - one GET at a time over libcurl: redirects, the token, and trying again.
 *
 * Redirects are followed by hand, five at most, because the token must not travel: a hub answers
 * with a signed address on somebody else's host, and libcurl's own rule for what is the same host
 * was changed more than once. The token goes to the origin alone (scheme, host and port), and never
 * over plain HTTP except to this machine. HTTPS never falls back to HTTP.
 *
 * What is worth another try is in two tables below, CURL's codes and HTTP's statuses; everything
 * else is final. A reply's Retry-After is obeyed up to two minutes. Certificates, proxies and their
 * environment variables are libcurl's defaults.
 *
 * Invariants
 *   I1  no request without a limit: 30 s to connect, and a transfer under 1 kB/s for `stall_s`
 *       seconds counts as cut.
 *   I2  at most `max_tries` tries in a row gain no byte (n_reached does not grow).
 *
 * Begin reading at fetch_exchange(), then one_try().
 */
#include "cli/fetch_parts.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/log.h"
#include "base/os.h"
#include "cria_version.h"

enum {
    MAX_REDIRECTS = 5,
    MAX_IGNORED_BYTES = 256 << 10, /* of the body of a refusal; more is not read to its end */
    MAX_RETRY_AFTER_S = 120,
    MAX_WAIT_MS = 30000,
    MAX_URL_BYTES = 8192,
};

struct origin {
    char *scheme, *host, *port; /* libcurl's memory */
};

struct fetch {
    CURL *curl;
    struct origin origin;
    char *auth; /* "Authorization: Bearer ...", or NULL */
    bool is_auth_safe;
    int max_tries, first_wait_ms;
    int status;
};

/* A request on its way. */
struct hop {
    struct fetch *f;
    struct exchange *x;
    struct err *err;
    bool is_begun, has_failed;
    size_t n_ignored;
};

/* ---- origins ---- */

static void origin_release(struct origin *o)
{
    curl_free(o->scheme);
    curl_free(o->host);
    curl_free(o->port);
    *o = (struct origin){0};
}

/* False if `url` is no HTTP address; `o` is empty then. */
static bool origin_read(const char *url, struct origin *o)
{
    CURLU *u = curl_url();
    *o = (struct origin){0};
    const bool ok = u && strlen(url) < MAX_URL_BYTES &&
                    curl_url_set(u, CURLUPART_URL, url, 0) == 0 &&
                    curl_url_get(u, CURLUPART_SCHEME, &o->scheme, 0) == 0 &&
                    curl_url_get(u, CURLUPART_HOST, &o->host, 0) == 0 &&
                    curl_url_get(u, CURLUPART_PORT, &o->port, CURLU_DEFAULT_PORT) == 0 &&
                    (strcmp(o->scheme, "https") == 0 || strcmp(o->scheme, "http") == 0);
    if (!ok) origin_release(o);
    curl_url_cleanup(u);
    return ok;
}

static bool origin_equal(const struct origin *a, const struct origin *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 &&
           strcmp(a->port, b->port) == 0;
}

static bool is_this_machine(const char *host)
{
    return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "localhost") == 0 ||
           strcmp(host, "[::1]") == 0;
}

/* ---- callbacks of libcurl ---- */

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    struct hop *h = user;
    long status = 0;
    (void)one; /* always 1 */
    curl_easy_getinfo(h->f->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) {
        h->n_ignored += n;
        return h->n_ignored > MAX_IGNORED_BYTES ? 0 : n;
    }
    if (!h->is_begun) {
        h->is_begun = true;
        h->has_failed = !h->x->begin(h->x->user, h->f, (int)status, h->err);
    }
    if (!h->has_failed) h->has_failed = !h->x->body(h->x->user, data, n, h->err);
    return h->has_failed ? 0 : n;
}

static int on_progress(void *user, curl_off_t n_down, curl_off_t down, curl_off_t n_up,
                       curl_off_t up)
{
    struct hop *h = user;
    (void)n_down;
    (void)down;
    (void)n_up;
    (void)up;
    return h->x->alive(h->x->user) ? 0 : 1;
}

/* ---- a client ---- */

static bool set_token(struct fetch *f, const char *token, struct err *err)
{
    const size_t n = strlen(token);
    for (size_t i = 0; i < n; i++)
        if (token[i] <= ' ' || token[i] > '~' || n > 1000)
            return err_set(err, ERR_USAGE,
                           "HF_TOKEN: its character %zu does not belong into a token; "
                           "copy it again from the hub's settings page",
                           i + 1);
    const size_t n_bytes = n + 32;
    f->auth = malloc(n_bytes);
    if (!f->auth) return err_set(err, ERR_MEMORY, "no memory for a download; free memory");
    snprintf(f->auth, n_bytes, "Authorization: Bearer %s", token);
    f->is_auth_safe = strcmp(f->origin.scheme, "https") == 0 || is_this_machine(f->origin.host);
    if (!f->is_auth_safe)
        log_warn("the token is not sent to %s: it would travel unencrypted; use an https address",
                 f->origin.host);
    return true;
}

static bool set_always(struct fetch *f, const struct fetch_options *opt)
{
    CURL *c = f->curl;
    const long stall_s = opt->stall_s ? opt->stall_s : 60;
    return curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, stall_s) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "cria/" CRIA_VERSION) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK;
}

struct fetch *fetch_new(const struct fetch_options *opt, struct err *err)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f) {
        err_set(err, ERR_MEMORY, "no memory for a download; free memory");
        return NULL;
    }
    f->max_tries = opt->max_tries ? opt->max_tries : 6;
    f->first_wait_ms = opt->first_wait_ms ? opt->first_wait_ms : 500;
    bool ok = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    f->curl = ok ? curl_easy_init() : NULL;
    if (!f->curl || !set_always(f, opt))
        ok = err_set(err, ERR_MEMORY, "libcurl does not start; free memory");
    ok = ok && (origin_read(opt->origin, &f->origin) ||
                err_set(err, ERR_USAGE,
                        "HF_ENDPOINT: \"%.200s\" is no address; write it as "
                        "https://huggingface.co",
                        opt->origin));
    ok = ok && (!opt->token || set_token(f, opt->token, err));
    if (ok) return f;
    fetch_free(f);
    return NULL;
}

void fetch_free(struct fetch *f)
{
    if (!f) return;
    curl_easy_cleanup(f->curl);
    origin_release(&f->origin);
    free(f->auth);
    free(f);
    curl_global_cleanup();
}

int fetch_status(const struct fetch *f) { return f->status; }

const char *fetch_header(const struct fetch *f, const char *name)
{
    struct curl_header *h = NULL;
    return curl_easy_header(f->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

/* ---- one try ---- */

enum outcome {
    OUT_DONE,
    OUT_FAILED, /* for good; err is filled */
    OUT_AGAIN,  /* err is filled, in case it was the last try */
};

static const struct {
    CURLcode code;
    const char *why;
} passing[] = {
    /* clang-format off */
    {CURLE_COULDNT_CONNECT,      "no connection"},
    {CURLE_OPERATION_TIMEDOUT,   "nothing came for too long"},
    {CURLE_PARTIAL_FILE,         "the connection was cut"},
    {CURLE_GOT_NOTHING,          "the connection was closed without an answer"},
    {CURLE_RECV_ERROR,           "the connection was cut"},
    {CURLE_SEND_ERROR,           "the connection was cut"},
    {CURLE_HTTP2,                "the connection broke"},
    {CURLE_HTTP2_STREAM,         "the connection broke"},
    {CURLE_SSL_CONNECT_ERROR,    "no secure connection"},
    {CURLE_OK,                   NULL},
    /* clang-format on */
};

static const int passing_status[] = {408, 425, 429, 500, 502, 503, 504, 0};

/* What a failed transfer means. */
static enum outcome judge_code(struct hop *h, CURLcode code, const char *host)
{
    struct err *err = h->err;
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        err_set(err, ERR_CANCELLED, "stopped; run it again to go on from there");
        return OUT_FAILED;
    }
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) {
        err_set(err, ERR_NETWORK, "%.200s: no such host can be found; check the network%s", host,
                code == CURLE_COULDNT_RESOLVE_PROXY ? ", and the proxy in https_proxy" : "");
        return h->x->n_reached ? OUT_AGAIN : OUT_FAILED; /* it was there a moment ago */
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        err_set(err, ERR_NETWORK,
                "%.200s: its certificate is not trusted; install ca-certificates, "
                "check the clock, or a proxy stands between",
                host);
        return OUT_FAILED;
    }
    for (size_t i = 0; passing[i].why; i++) {
        if (passing[i].code != code) continue;
        err_set(err, ERR_NETWORK, "%.200s: %s; check the network and run it again", host,
                passing[i].why);
        return OUT_AGAIN;
    }
    err_set(err, ERR_NETWORK, "%.200s: %s; check the network", host, curl_easy_strerror(code));
    return OUT_FAILED;
}

static enum outcome judge_status(struct hop *h, const char *host)
{
    const int status = h->f->status;
    for (const int *s = passing_status; *s; s++) {
        if (*s != status) continue;
        err_set(h->err, ERR_NETWORK, "%.200s: the server answers %d%s; try again later", host,
                status, status == 429 ? " (too many requests)" : "");
        return OUT_AGAIN;
    }
    err_set(h->err, ERR_NETWORK, "%.200s: the server answers %d; check the name", host, status);
    return OUT_FAILED;
}

/* The headers of a request: `to` is where it goes. Returns owned, NULL without memory. */
static struct curl_slist *make_headers(const struct fetch *f, const struct origin *to,
                                       uint64_t offset, const char *etag, bool *ok)
{
    struct curl_slist *list = NULL;
    char line[600];
    *ok = true;
    if (f->auth && f->is_auth_safe && origin_equal(to, &f->origin)) {
        list = curl_slist_append(list, f->auth);
        *ok = list != NULL;
    }
    if (offset && *ok) {
        snprintf(line, sizeof line, "Range: bytes=%" PRIu64 "-", offset);
        struct curl_slist *more = curl_slist_append(list, line);
        *ok = more != NULL;
        if (more) list = more;
    }
    if (offset && etag && *ok) {
        snprintf(line, sizeof line, "If-Range: %.512s", etag);
        struct curl_slist *more = curl_slist_append(list, line);
        *ok = more != NULL;
        if (more) list = more;
    }
    return list;
}

/* Where a redirect leads, copied into `url`; false (err) if it must not be followed. */
static bool next_url(struct fetch *f, const struct origin *from, char url[MAX_URL_BYTES],
                     struct err *err)
{
    char *to = NULL;
    struct origin o = {0};
    curl_easy_getinfo(f->curl, CURLINFO_REDIRECT_URL, &to);
    bool ok = to && strlen(to) < MAX_URL_BYTES && origin_read(to, &o);
    if (!ok)
        err_set(err, ERR_NETWORK,
                "%.200s: it redirects to no HTTP address (\"%.100s\"); check "
                "HF_ENDPOINT",
                from->host, to ? to : "");
    else if (strcmp(from->scheme, "https") == 0 && strcmp(o.scheme, "https") != 0)
        ok = err_set(err, ERR_NETWORK,
                     "%.200s: it redirects from https to plain http at %.100s, which "
                     "is not followed; check HF_ENDPOINT",
                     from->host, o.host);
    if (ok) memmove(url, to, strlen(to) + 1);
    origin_release(&o);
    return ok;
}

/* Sends one request and reads its reply. */
static CURLcode perform(struct hop *h, const char *url, const struct origin *to, uint64_t offset,
                        const char *etag)
{
    CURL *c = h->f->curl;
    bool ok = true;
    struct curl_slist *headers = make_headers(h->f, to, offset, etag, &ok);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    h->f->status = 0;
    h->n_ignored = 0;
    if (ok && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_WRITEDATA, h) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_XFERINFODATA, h) == CURLE_OK)
        code = curl_easy_perform(c);
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    h->f->status = (int)status;
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return code;
}

/* The reply has come, or broke off: what now? */
static enum outcome judge(struct hop *h, CURLcode code, const char *host)
{
    const int status = h->f->status;
    if (h->has_failed) return OUT_FAILED;
    /* The body of a refusal may have been cut off by us. */
    if (status >= 400 && (code == CURLE_OK || code == CURLE_WRITE_ERROR))
        return judge_status(h, host);
    if (code != CURLE_OK) return judge_code(h, code, host);
    if (status != 200 && status != 206) return judge_status(h, host);
    if (!h->is_begun && !h->x->begin(h->x->user, h->f, status, h->err)) return OUT_FAILED;
    if (h->x->end(h->x->user, h->err)) return OUT_DONE;
    if (h->err->code != ERR_OK) return OUT_FAILED;
    return judge_code(h, CURLE_PARTIAL_FILE, host);
}

static enum outcome one_try(struct fetch *f, struct exchange *x, struct err *err)
{
    char url[MAX_URL_BYTES];
    uint64_t offset = 0;
    const char *etag = NULL;
    if (!x->prepare(x->user, &offset, &etag, err)) return OUT_FAILED;
    if ((size_t)snprintf(url, sizeof url, "%s", x->url) >= sizeof url) {
        err_set(err, ERR_LIMIT, "the address %.100s... is longer than %d bytes; use a shorter name",
                x->url, MAX_URL_BYTES);
        return OUT_FAILED;
    }
    for (int i = 0; i <= MAX_REDIRECTS; i++) {
        struct hop h = {.f = f, .x = x, .err = err};
        struct origin to;
        if (!origin_read(url, &to)) {
            err_set(err, ERR_USAGE, "\"%.200s\" is no address of a file; check HF_ENDPOINT", url);
            return OUT_FAILED;
        }
        const CURLcode code = perform(&h, url, &to, offset, etag);
        const bool is_redirect = f->status >= 300 && f->status < 400 && f->status != 304 &&
                                 (code == CURLE_OK || code == CURLE_WRITE_ERROR);
        enum outcome out = OUT_FAILED;
        bool is_followed = false;
        if (is_redirect)
            is_followed = next_url(f, &to, url, err);
        else
            out = judge(&h, code, to.host);
        origin_release(&to);
        if (!is_followed) return out;
    }
    err_set(err, ERR_NETWORK, "more than %d redirects from %.200s; check HF_ENDPOINT",
            MAX_REDIRECTS, x->url);
    return OUT_FAILED;
}

/* Waits; false if somebody wants to stop. */
static bool wait_ms(struct exchange *x, int64_t ms)
{
    const int64_t end = clock_ns() + ms * 1000000;
    for (int64_t now = clock_ns(); now < end; now = clock_ns()) {
        if (!x->alive(x->user)) return false;
        const int64_t left = (end - now) / 1000000 + 1;
        (void)poll(NULL, 0, left < 100 ? (int)left : 100);
    }
    return x->alive(x->user);
}

bool fetch_exchange(struct fetch *f, struct exchange *x, struct err *err)
{
    int n_tries = 0;
    for (;;) {
        const uint64_t had = x->n_reached;
        struct err why = {0};
        const enum outcome out = one_try(f, x, &why);
        if (out == OUT_DONE) return true;
        n_tries = x->n_reached > had ? 0 : n_tries + 1;
        if (out == OUT_FAILED || n_tries >= f->max_tries) {
            *err = why;
            return false;
        }
        int64_t ms = (int64_t)f->first_wait_ms << (n_tries < 1    ? 0
                                                   : n_tries < 12 ? n_tries - 1
                                                                  : 11);
        if (ms > MAX_WAIT_MS) ms = MAX_WAIT_MS;
        curl_off_t after_s = 0;
        if (f->status >= 400) curl_easy_getinfo(f->curl, CURLINFO_RETRY_AFTER, &after_s);
        if (after_s > MAX_RETRY_AFTER_S)
            return err_set(err, ERR_NETWORK, "%.300s; it asks to wait %" PRId64 " s", why.text,
                           (int64_t)after_s);
        if (after_s > 0) ms = after_s * 1000;
        /* The remedy behind the semicolon is for a person; we do it ourselves. */
        log_info("%.*s; again in %.1f s", (int)strcspn(why.text, ";"), why.text, (double)ms / 1000);
        if (!wait_ms(x, ms)) return err_set(err, ERR_CANCELLED, "stopped; run it again to go on");
    }
}

/* ---- small bodies ---- */

struct text {
    struct exchange x;
    const struct progress *progress;
    struct buf *out;
    size_t n_begin, max_bytes;
};

static bool text_prepare(void *user, uint64_t *offset, const char **etag, struct err *err)
{
    struct text *t = user;
    (void)err;
    *offset = 0;
    *etag = NULL;
    t->out->n_bytes = t->n_begin; /* what a cut connection left */
    return true;
}

static bool text_begin(void *user, struct fetch *f, int status, struct err *err)
{
    (void)user;
    (void)f;
    (void)status;
    (void)err;
    return true;
}

static bool text_body(void *user, const char *data, size_t n_bytes, struct err *err)
{
    struct text *t = user;
    if (n_bytes > t->max_bytes - (t->out->n_bytes - t->n_begin))
        return err_set(err, ERR_LIMIT,
                       "the reply of %.200s is longer than %zu bytes; check "
                       "HF_ENDPOINT",
                       t->x.url, t->max_bytes);
    buf_append(t->out, data, n_bytes);
    return buf_check(t->out, "a reply", err);
}

static bool text_end(void *user, struct err *err)
{
    (void)user;
    (void)err;
    return true;
}

static bool text_alive(void *user)
{
    const struct text *t = user;
    return progress_tick(t->progress, "asking the hub", 0, 0);
}

bool fetch_text(struct fetch *f, const char *url, size_t max_bytes, const struct progress *p,
                struct buf *out, struct err *err)
{
    struct text t = {
        .x = {.url = url,
              .prepare = text_prepare,
              .begin = text_begin,
              .body = text_body,
              .end = text_end,
              .alive = text_alive},
        .progress = p,
        .out = out,
        .n_begin = out->n_bytes,
        .max_bytes = max_bytes,
    };
    t.x.user = &t;
    return fetch_exchange(f, &t.x, err);
}
