/* SPDX-License-Identifier: Apache-2.0
 *
 * web.c - one GET of a page that nobody vouches for.
 *
 * A name may lead to any address, another one each time it is looked up, and a page may redirect to
 * any name. So no name is judged: the address is, in the callback by which libcurl opens the very
 * socket that it then connects, once for each connection, redirects too. For the same reason no
 * proxy is used unless private addresses are allowed: behind one nobody here sees the address.
 *
 * fetch.c fetches files of known size from a hub that is trusted with a token, and goes on after
 * cuts. Nothing of that fits here: one try, a small body, nothing known of it before.
 *
 * Invariants
 *   I1  without is_private_allowed no connection is made to an address that is not public.
 *   I2  a page takes timeout_s and max_bytes at most, whatever its server does.
 *
 * Begin reading at web_get().
 */
#include "cli/web.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/os.h"
#include "cli/address.h"
#include "cria_version.h"

enum { MAX_REDIRECTS = 5, MAX_ADDRESS_BYTES = 4096, CONNECT_S = 15 };

struct web {
    CURL *curl;
    struct web_options opt;
    /* of the request on its way */
    struct buf *body;
    bool is_refused; /* a connection, because of its address: */
    struct address_text refused;
};

/* ---- addresses as they are written ---- */

bool web_is_address(const char *s)
{
    return strncasecmp(s, "http://", 7) == 0 || strncasecmp(s, "https://", 8) == 0;
}

static bool is_http(CURLU *u)
{
    char *scheme = NULL;
    const bool ok = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                    (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    return ok;
}

char *web_address(const char *s, struct err *err)
{
    CURLU *u = curl_url();
    char *text = NULL, *out = NULL;
    const bool ok = u && strlen(s) < MAX_ADDRESS_BYTES &&
                    curl_url_set(u, CURLUPART_URL, s, CURLU_DISALLOW_USER) == CURLUE_OK &&
                    is_http(u) && curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
                    curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK;
    if (!ok)
        err_set(err, ERR_USAGE,
                "\"%.200s\" is no address of a page; write http:// or https://, a host and a path, "
                "without a password, at most %d bytes",
                s, MAX_ADDRESS_BYTES);
    else if (!(out = strdup(text)))
        err_set(err, ERR_MEMORY, "no memory for an address");
    curl_free(text);
    curl_url_cleanup(u);
    return out;
}

/* ---- headers ---- */

/* A word of a header, in lower case, up to one of `ends`; "" if it is too long or holds a strange
 * sign. */
static void take_word(const char *s, size_t n, char *out, size_t cap)
{
    while (n && isspace((unsigned char)*s)) s++, n--;
    while (n && isspace((unsigned char)s[n - 1])) n--;
    if (n >= 2 && s[0] == '"' && s[n - 1] == '"') s++, n -= 2;
    out[0] = '\0';
    if (n >= cap) return;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (!isalnum(c) && !strchr("/+.-_:", c)) {
            out[0] = '\0';
            return;
        }
        out[i] = (char)tolower(c);
        out[i + 1] = '\0';
    }
}

struct web_type web_read_type(const char *header)
{
    struct web_type t = {0};
    const size_t n_mime = strcspn(header, ";");
    take_word(header, n_mime, t.mime, sizeof t.mime);
    for (const char *s = header + n_mime; *s == ';';) {
        s++;
        while (*s == ' ' || *s == '\t') s++;
        const size_t n = strcspn(s, ";");
        if (!t.charset[0] && n > 8 && strncasecmp(s, "charset=", 8) == 0)
            take_word(s + 8, n - 8, t.charset, sizeof t.charset);
        s += n;
    }
    return t;
}

/* The reply's header, if it is one that we may send back: printable, not too long. Else "". */
static void take_header(const struct web *w, const char *name, char *out, size_t cap)
{
    struct curl_header *h = NULL;
    out[0] = '\0';
    if (curl_easy_header(w->curl, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK) return;
    const size_t n = strlen(h->value);
    for (size_t i = 0; i < n; i++)
        if (n >= cap || h->value[i] < ' ' || h->value[i] > '~') return;
    memcpy(out, h->value, n + 1);
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[400];
    if (!value || !value[0]) return true;
    for (const char *c = value; *c; c++)
        if (*c < ' ' || *c > '~') return true; /* an index may come from anybody */
    if ((size_t)snprintf(line, sizeof line, "%s: %s", name, value) >= sizeof line) return true;
    struct curl_slist *more = curl_slist_append(*list, line);
    if (more) *list = more;
    return more != NULL;
}

/* ---- callbacks of libcurl ---- */

static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct web *w = user;
    (void)purpose;
    if (!w->opt.is_private_allowed && !address_is_public(&a->addr)) {
        w->is_refused = true;
        w->refused = address_text(&a->addr);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    struct web *w = user;
    long status = 0;
    (void)one; /* always 1 */
    curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) return 0; /* nobody reads it */
    buf_append(w->body, data, n);
    return w->body->is_failed ? 0 : n;
}

static int on_progress(void *user, curl_off_t n_down, curl_off_t down, curl_off_t n_up,
                       curl_off_t up)
{
    const struct web *w = user;
    (void)n_down;
    (void)n_up;
    (void)up;
    return progress_tick(w->opt.progress, "fetching", down > 0 ? (uint64_t)down : 0, 0) ? 0 : 1;
}

/* ---- a client ---- */

static bool set_always(struct web *w)
{
    CURL *c = w->curl;
    return curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "cria/" CRIA_VERSION) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, w) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, w) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFODATA, w) == CURLE_OK &&
           (w->opt.is_private_allowed || curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK);
}

struct web *web_new(const struct web_options *opt, struct err *err)
{
    struct web *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(err, ERR_MEMORY, "no memory for fetching pages");
        return NULL;
    }
    w->opt = *opt;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) w->curl = curl_easy_init();
    if (w->curl && set_always(w)) return w;
    err_set(err, ERR_MEMORY, "libcurl does not start; free memory");
    web_free(w);
    return NULL;
}

void web_free(struct web *w)
{
    if (!w) return;
    curl_easy_cleanup(w->curl);
    curl_global_cleanup();
    free(w);
}

/* ---- one page ---- */

static const struct {
    CURLcode code;
    const char *why;
} reasons[] = {
    /* clang-format off */
    {CURLE_COULDNT_RESOLVE_HOST,     "no such host can be found; look at the address and the network"},
    {CURLE_COULDNT_CONNECT,          "no connection; look at the address, or try again later"},
    {CURLE_PEER_FAILED_VERIFICATION, "its certificate is not trusted; look at the address and the clock"},
    {CURLE_SSL_CONNECT_ERROR,        "no secure connection; look at the address"},
    {CURLE_PARTIAL_FILE,             "the connection was cut; try again later"},
    {CURLE_GOT_NOTHING,              "the connection was closed without an answer; try again later"},
    {CURLE_RECV_ERROR,               "the connection was cut; try again later"},
    {CURLE_WEIRD_SERVER_REPLY,       "what answers is no web server; look at the address"},
    {CURLE_UNSUPPORTED_PROTOCOL,     "what answers is no web server; look at the address"},
    {CURLE_BAD_CONTENT_ENCODING,     "its body cannot be unpacked; fetch it by other means"},
    {CURLE_OK,                       NULL},
    /* clang-format on */
};

static bool fail(const struct web *w, const char *url, CURLcode code, struct err *err)
{
    if (w->is_refused)
        return err_set(err, ERR_NETWORK,
                       "%.300s: its address %s is not public; --allow-private fetches from there "
                       "too",
                       url, w->refused.text);
    if (w->body->is_failed)
        return err_set(err, ERR_LIMIT, "%.300s: longer than %zu bytes; it is not read", url,
                       w->opt.max_bytes);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ERR_CANCELLED, "interrupted; what is done is kept");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_LIMIT, "%.300s: not here after %d s; it is not read", url,
                       w->opt.timeout_s);
    for (size_t i = 0; reasons[i].why; i++)
        if (reasons[i].code == code)
            return err_set(err, ERR_NETWORK, "%.300s: %s", url, reasons[i].why);
    return err_set(err, ERR_NETWORK, "%.300s: %s; look at the address", url,
                   curl_easy_strerror(code));
}

static CURLcode perform(struct web *w, const char *url, const char *etag, const char *modified,
                        int64_t left_ms, long *status)
{
    struct curl_slist *headers = NULL;
    CURL *c = w->curl;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    w->is_refused = false;
    if (add_header(&headers, "If-None-Match", etag) &&
        add_header(&headers, "If-Modified-Since", modified) &&
        curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)left_ms) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK)
        code = curl_easy_perform(c);
    *status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    /* We stop a body that nobody reads ourselves. */
    return code == CURLE_WRITE_ERROR && *status != 200 ? CURLE_OK : code;
}

/* Where the redirect leads; owned. NULL (err): it is not followed. */
static char *next_address(const struct web *w, const char *from, struct err *err)
{
    char *to = NULL;
    curl_easy_getinfo(w->curl, CURLINFO_REDIRECT_URL, &to);
    if (!to) {
        err_set(err, ERR_NETWORK, "%.300s: it redirects to nowhere; look at the address", from);
        return NULL;
    }
    if (strncmp(from, "https:", 6) == 0 && strncasecmp(to, "http:", 5) == 0) {
        err_set(err, ERR_NETWORK,
                "%.300s: it redirects from https to plain http, which is not followed; give that "
                "address itself",
                from);
        return NULL;
    }
    char *next = web_address(to, err);
    if (!next) err_wrap(err, "%.300s redirects", from);
    return next;
}

bool web_get(struct web *w, const char *url, const char *etag, const char *modified,
             struct web_page *out, struct err *err)
{
    const int64_t end_ns = clock_ns() + w->opt.timeout_s * INT64_C(1000000000);
    *out = (struct web_page){0};
    buf_init(&out->body, w->opt.max_bytes);
    w->body = &out->body;
    char *at = web_address(url, err);
    for (int n_redirects = 0; at; n_redirects++) {
        const int64_t left_ms = (end_ns - clock_ns()) / 1000000;
        long status = 0;
        const CURLcode code = left_ms > 0 ? perform(w, at, etag, modified, left_ms, &status)
                                          : CURLE_OPERATION_TIMEDOUT;
        bool ok = code == CURLE_OK || fail(w, at, code, err);
        char *next = NULL;
        if (ok && status >= 300 && status < 400 && status != 304) {
            if (n_redirects == MAX_REDIRECTS)
                err_set(err, ERR_LIMIT, "%.300s: more than %d redirects; look at the address", url,
                        MAX_REDIRECTS);
            else
                next = next_address(w, at, err);
            free(at);
            at = next;
            continue;
        }
        out->status = (int)status;
        out->is_unchanged = status == 304;
        if (ok && status != 200 && status != 304)
            ok = err_set(err, ERR_NETWORK, "%.300s: the server answers %ld; look at the address",
                         at, status);
        char type[200];
        take_header(w, "Content-Type", type, sizeof type);
        out->type = web_read_type(type);
        take_header(w, "ETag", out->etag, sizeof out->etag);
        take_header(w, "Last-Modified", out->modified, sizeof out->modified);
        free(at);
        return ok;
    }
    return false;
}
