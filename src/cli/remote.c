/* SPDX-License-Identifier: Apache-2.0
 *
 * remote.c - OpenAI's chat completions as a client: one POST an answer, streamed.
 *
 * Whatever the server sends is checked: status, JSON, sizes; control characters would reach the
 * terminal and are left out. Nothing is followed or asked again by itself: the one who sits here
 * decides. Requests carry only the settings that were given, since servers refuse what they do not
 * know. Reading begins at remote_ask().
 */
#include "cli/remote.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "cli/sse.h"
#include "cria_version.h"

enum { MAX_REFUSAL = 65536, MAX_KEY = 4096 };

static const struct option rows[] = {
    /* clang-format off */
    /* name           letter arg     kind      min max default choices rep    help */
    {"server",        0,     "URL",  OPT_STR,  0,  0,  NULL,   NULL,   false, "ask this server (OpenAI's API) instead of a model on this machine"},
    {"server-model",  0,     "NAME", OPT_STR,  0,  0,  NULL,   NULL,   false, "with --server: which of its models; without it the first"},
    {"key-file",      0,     "FILE", OPT_FILE, 0,  0,  NULL,   NULL,   false, "with --server: file that holds the API key"},
    {0},
    /* clang-format on */
};
const struct option_group server_group = {"Server", rows};

struct remote {
    CURL *curl;
    char *base; /* "http://host:8080/v1" */
    char *model;
    struct curl_slist *headers;
    char curl_says[CURL_ERROR_SIZE];
};

/* One request. */
struct call {
    struct remote *r;
    struct remote_reply *reply; /* NULL: the body is wanted whole */
    struct sse sse;
    struct buf body; /* of a refusal, or the whole */
    bool has_end, is_done;
    int64_t n_deltas;
    struct err err;
    bool has_failed;
};

/* ---- the answer's events ---- */

/* Text without control characters but line feed and tab. */
static bool give_text(struct call *c, const char *s, size_t n)
{
    struct remote_reply *reply = c->reply;
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        const unsigned char b = (unsigned char)s[i];
        const bool is_c1 = b == 0xC2 && i + 1 < n && (unsigned char)s[i + 1] < 0xA0;
        const bool is_control = (b < 0x20 && b != '\n' && b != '\t') || b == 0x7F || is_c1;
        const size_t n_here = is_c1 ? 2 : 1;
        if (is_control) {
            if (i > from && !reply->text(reply->user, s + from, i - from, &c->err)) return false;
            from = i + n_here;
        }
        i += n_here;
    }
    return n <= from || reply->text(reply->user, s + from, n - from, &c->err);
}

/* Of what a server says, for a terminal: control characters become spaces. */
struct said {
    char text[400];
};

static struct said said(const char *s)
{
    struct said out;
    snprintf(out.text, sizeof out.text, "%s", s);
    for (char *p = out.text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F || (unsigned char)*p == 0xC2) *p = ' ';
    return out;
}

/* The message of {"error": {"message": ...}} or {"error": "..."}; NULL if it is none. */
static const char *error_text(struct json root)
{
    const char *s = NULL;
    size_t n = 0;
    const struct json e = json_get(root, "error");
    if (json_str(json_get(e, "message"), &s, &n) || json_str(e, &s, &n)) return s;
    return json_type(e) == JSON_OBJECT ? "an error without a message" : NULL;
}

static void take_usage(struct remote_reply *reply, struct json usage)
{
    int64_t v = 0;
    if (json_i64(json_get(usage, "prompt_tokens"), &v) && v >= 0) reply->n_prompt = v;
    if (json_i64(json_get(usage, "completion_tokens"), &v) && v >= 0) reply->n_generated = v;
    const struct json cached = json_get(json_get(usage, "prompt_tokens_details"), "cached_tokens");
    if (json_i64(cached, &v) && v >= 0) reply->n_cached = v;
}

static bool on_event(void *user, const char *data, size_t n_bytes, struct err *err)
{
    struct call *c = user;
    const char *s = NULL;
    size_t n = 0;
    if (n_bytes == 6 && memcmp(data, "[DONE]", 6) == 0) {
        c->is_done = true;
        return true;
    }
    struct json_doc *d = json_parse(data, n_bytes, SSE_MAX_EVENT_BYTES, "the server's stream", err);
    if (!d) return false;
    const struct json root = json_root(d), choice = json_at(json_get(root, "choices"), 0);
    const char *refusal = error_text(root);
    bool ok = !refusal || err_set(err, ERR_NETWORK, "%s: %s", c->r->base, said(refusal).text);
    take_usage(c->reply, json_get(root, "usage"));
    if (ok && json_str(json_get(json_get(choice, "delta"), "content"), &s, &n) && n) {
        c->n_deltas++;
        ok = give_text(c, s, n);
        if (!ok) *err = c->err;
    }
    if (ok && json_str(json_get(choice, "finish_reason"), &s, &n)) {
        c->reply->end = strcmp(s, "length") == 0 ? REMOTE_LENGTH : REMOTE_STOP;
        c->has_end = true;
    }
    json_free(d);
    return ok;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct call *c = user;
    long status = 0;
    (void)one;
    curl_easy_getinfo(c->r->curl, CURLINFO_RESPONSE_CODE, &status);
    if (c->reply && status == 200) {
        c->has_failed = !sse_feed(&c->sse, bytes, n, on_event, c, &c->err);
        return c->has_failed ? 0 : n;
    }
    buf_append(&c->body, bytes, n);
    return c->body.is_failed ? 0 : n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    const struct call *c = user;
    (void)a, (void)b, (void)d, (void)e;
    return c->reply && c->reply->wants_stop(c->reply->user);
}

/* ---- requests ---- */

/* What a status means that is not 200. */
static const char *remedy_of(long status)
{
    switch (status) {
    case 401:
    case 403:
        return "; --key-file names the file with the right key";
    case 404:
        return "; is this the address of an OpenAI-compatible server, and its --server-model?";
    case 429:
        return "; it is busy: try again later";
    default:
        return "";
    }
}

static bool refuse(const struct call *c, long status, struct err *err)
{
    struct err ignored = {0};
    struct json_doc *d = c->body.n_bytes ? json_parse(c->body.data, c->body.n_bytes, MAX_REFUSAL,
                                                      "the refusal", &ignored)
                                         : NULL;
    const char *says = d ? error_text(json_root(d)) : NULL;
    curl_off_t wait = 0;
    char retry[48] = "";
    if (curl_easy_getinfo(c->r->curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        snprintf(retry, sizeof retry, " (in %ld s)", (long)wait);
    err_set(err, ERR_NETWORK, "%s: %s (status %ld)%s%s", c->r->base,
            said(says ? says : "it refused").text, status, remedy_of(status), retry);
    json_free(d);
    return false;
}

/* GET, or POST of `body`. False and `err`; a stop by the user is no error. */
static bool run_call(struct call *c, const char *path, const struct buf *body, struct err *err)
{
    struct remote *r = c->r;
    char url[2300];
    long status = 0;
    snprintf(url, sizeof url, "%s%s", r->base, path);
    sse_begin(&c->sse);
    buf_init(&c->body, c->reply ? MAX_REFUSAL : (size_t)8 << 20);
    r->curl_says[0] = '\0';
    bool ok = curl_easy_setopt(r->curl, CURLOPT_URL, url) == CURLE_OK &&
              curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, c) == CURLE_OK &&
              curl_easy_setopt(r->curl, CURLOPT_XFERINFODATA, c) == CURLE_OK;
    ok = ok && (body ? curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                                        (curl_off_t)body->n_bytes) == CURLE_OK &&
                           curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, body->data) == CURLE_OK
                     : curl_easy_setopt(r->curl, CURLOPT_HTTPGET, 1L) == CURLE_OK);
    const CURLcode rc = ok ? curl_easy_perform(r->curl) : CURLE_OUT_OF_MEMORY;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    sse_release(&c->sse);
    if (rc == CURLE_ABORTED_BY_CALLBACK && !c->has_failed) {
        c->reply->end = REMOTE_STOPPED;
        return true;
    }
    if (c->has_failed) {
        *err = c->err;
        return false;
    }
    if (rc != CURLE_OK && !c->is_done)
        return err_set(err, ERR_NETWORK, "%s: %s; is the server running, and the address right?",
                       r->base, r->curl_says[0] ? r->curl_says : curl_easy_strerror(rc));
    if (status != 200) return refuse(c, status, err);
    if (c->reply && !c->has_end && !c->is_done)
        return err_set(err, ERR_NETWORK,
                       "%s: the answer ended in the middle; ask again with /regen", r->base);
    return true;
}

/* Names of ours and of the API's. */
static const struct {
    const char *option, *field;
    bool is_int;
} fields[] = {
    {"temp", "temperature", false},
    {"top-p", "top_p", false},
    {"top-k", "top_k", true},
    {"min-p", "min_p", false},
    {"typical", "typical_p", false},
    {"seed", "seed", true},
    {"repeat-penalty", "repetition_penalty", false},
    {"presence-penalty", "presence_penalty", false},
    {"frequency-penalty", "frequency_penalty", false},
    {"n", "max_tokens", true},
};

static bool write_request(const struct remote *r, const struct chat_message *message, size_t n,
                          const struct args *settings, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    json_object(&w);
    json_key_cstring(&w, "model", r->model);
    json_key(&w, "messages");
    json_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_object(&w);
        json_key_cstring(&w, "role", message[i].role);
        json_key(&w, "content");
        json_string(&w, message[i].content, message[i].n_content);
        json_end(&w);
    }
    json_end(&w);
    json_key_boolean(&w, "stream", true);
    json_key(&w, "stream_options");
    json_object(&w);
    json_key_boolean(&w, "include_usage", true);
    json_end(&w);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const char *name = fields[i].option;
        if (!args_has(settings, name)) continue;
        if (!fields[i].is_int)
            json_key_double(&w, fields[i].field, args_float(settings, name));
        else if (args_int(settings, name) >= 0)
            json_key_int(&w, fields[i].field, args_int(settings, name));
    }
    json_end(&w);
    return buf_check(out, "the request", err);
}

bool remote_ask(struct remote *r, const struct chat_message *message, size_t n_messages,
                const struct args *settings, struct remote_reply *reply, struct err *err)
{
    struct call c = {.r = r, .reply = reply};
    struct buf body;
    buf_init(&body, (size_t)256 << 20);
    reply->n_prompt = reply->n_cached = reply->n_generated = -1;
    const bool ok = write_request(r, message, n_messages, settings, &body, err) &&
                    run_call(&c, "/chat/completions", &body, err);
    if (reply->n_generated < 0) reply->n_generated = c.n_deltas;
    buf_release(&c.body);
    buf_release(&body);
    return ok;
}

/* ---- opening ---- */

const char *remote_model(const struct remote *r) { return r->model; }
const char *remote_address(const struct remote *r) { return r->base; }

/* "http://host:8080" and "http://host:8080/v1/" both are ".../v1". */
static bool set_base(struct remote *r, const char *url, struct err *err)
{
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : NULL;
    size_t n = strlen(url);
    if (!host || !*host || *host == '/' || n > 2000)
        return err_set(err, ERR_USAGE, "--server %s: not an address such as http://127.0.0.1:8080",
                       url);
    while (url[n - 1] == '/') n--;
    const bool has_path = memchr(host, '/', (size_t)(url + n - host)) != NULL;
    r->base = malloc(n + 4);
    if (!r->base) return err_set(err, ERR_MEMORY, "no memory for the server's address");
    snprintf(r->base, n + 4, "%.*s%s", (int)n, url, has_path ? "" : "/v1");
    return true;
}

static bool set_headers(struct remote *r, const char *key_file, struct err *err)
{
    struct buf key;
    char line[MAX_KEY + 32];
    buf_init(&key, MAX_KEY);
    bool ok = !key_file || file_read_all(key_file, MAX_KEY, &key, err);
    while (key.n_bytes && strchr(" \r\n\t", key.data[key.n_bytes - 1])) key.n_bytes--;
    for (size_t i = 0; ok && i < key.n_bytes; i++)
        if (key.data[i] <= ' ' || key.data[i] == 0x7F)
            ok = err_set(err, ERR_FORMAT, "%s: a key is one word; this file holds more", key_file);
    if (ok && key_file && !key.n_bytes)
        ok = err_set(err, ERR_FORMAT, "%s: empty; it should hold the API key", key_file);
    struct curl_slist *h = ok ? curl_slist_append(NULL, "Content-Type: application/json") : NULL;
    if (h && key.n_bytes) {
        snprintf(line, sizeof line, "Authorization: Bearer %.*s", (int)key.n_bytes, key.data);
        struct curl_slist *more = curl_slist_append(h, line);
        if (!more) curl_slist_free_all(h);
        h = more;
    }
    buf_release(&key);
    r->headers = h;
    return h || !ok ? ok : err_set(err, ERR_MEMORY, "no memory for the request");
}

static bool set_options(struct remote *r, struct err *err)
{
    CURL *c = r->curl;
    const bool ok = c && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 15L) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_USERAGENT, "cria/" CRIA_VERSION) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->curl_says) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
                    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK;
    return ok || err_set(err, ERR_MEMORY, "no memory for the connection");
}

static bool find_model(struct remote *r, const char *name, struct err *err)
{
    struct call c = {.r = r};
    const char *s = name;
    size_t n = 0;
    struct json_doc *d = NULL;
    bool ok = true;
    if (!name) {
        ok = run_call(&c, "/models", NULL, err);
        d = ok ? json_parse(c.body.data ? c.body.data : "", c.body.n_bytes, (size_t)8 << 20,
                            "the server's list of models", err)
               : NULL;
        ok = d != NULL;
        if (ok && !json_str(json_get(json_at(json_get(json_root(d), "data"), 0), "id"), &s, &n))
            ok = err_set(err, ERR_NETWORK, "%s: it lists no model; name one with --server-model",
                         r->base);
        buf_release(&c.body);
    }
    r->model = ok ? strdup(said(s).text) : NULL;
    json_free(d);
    return !ok || r->model ? ok : err_set(err, ERR_MEMORY, "no memory for the model's name");
}

struct remote *remote_open(const struct args *a, struct err *err)
{
    struct remote *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(err, ERR_MEMORY, "no memory for the connection");
        return NULL;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        err_set(err, ERR_MEMORY, "libcurl could not begin");
        free(r);
        return NULL;
    }
    r->curl = curl_easy_init();
    if (set_base(r, args_str(a, "server"), err) && set_headers(r, args_str(a, "key-file"), err) &&
        set_options(r, err) && find_model(r, args_str(a, "server-model"), err))
        return r;
    remote_close(r);
    return NULL;
}

void remote_close(struct remote *r)
{
    if (!r) return;
    curl_easy_cleanup(r->curl);
    curl_slist_free_all(r->headers);
    free(r->base);
    free(r->model);
    free(r);
    curl_global_cleanup();
}
