/* SPDX-License-Identifier: Apache-2.0
 *
 * routes.c - which request goes where, and who may make it.
 *
 * The order is: is it HTTP, may this host and page ask, does the path exist, with this method, has
 * it a key, are we still serving; then the handler. Paths are those of the table with or without
 * /v1 in front, as clients disagree about what belongs to the base address.
 *
 * /health and /metrics read atomics only and are answered here and now, whatever the model does.
 *
 * Begin reading at route_request().
 */
#include "serve/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>

#include "base/json_write.h"
#include "base/os.h"
#include "serve/page.h"
#include "serve/routes.h"

#define JSON_TYPE "application/json"

/* ---- small handlers ---- */

static void handle_chat(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    generation_begin(ex, GEN_CHAT, b.data, b.n);
}

static void handle_completions(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    generation_begin(ex, GEN_TEXT, b.data, b.n);
}

static void handle_responses(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    generation_begin(ex, GEN_RESPONSES, b.data, b.n);
}

static void handle_response_tokens(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    generation_count(ex, GEN_RESPONSES, b.data, b.n);
}

static void handle_response(struct exchange *ex, const char *rest, struct body b)
{
    (void)b;
    stored_response(ex, rest);
}

static void handle_chats(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest, (void)b;
    chats_list(ex);
}

static void handle_one_chat(struct exchange *ex, const char *rest, struct body b)
{
    chats_one(ex, rest, b.data, b.n);
}

static void handle_share(struct exchange *ex, const char *rest, struct body b)
{
    (void)b;
    shares_of_chat(ex, rest);
}

static void handle_shared(struct exchange *ex, const char *rest, struct body b)
{
    (void)b;
    shares_read(ex, rest);
}

static void handle_passage(struct exchange *ex, const char *rest, struct body b)
{
    (void)b;
    library_passage(ex, rest);
}

static void handle_index(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    upload_begin(ex, b.data, b.n);
}

static void handle_messages(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    generation_begin(ex, GEN_MESSAGES, b.data, b.n);
}

static void handle_message_tokens(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    generation_count(ex, GEN_MESSAGES, b.data, b.n);
}

static void handle_embeddings(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    reading_begin(ex, &reading_embeddings, b.data, b.n);
}

static void handle_rerank(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    reading_begin(ex, &reading_rerank, b.data, b.n);
}

static struct buf *fresh_text(struct exchange *ex)
{
    buf_clear(&ex->server->text);
    return &ex->server->text;
}

static void handle_load_adapter(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    adapters_load(ex, b.data, b.n);
}

static void handle_unload_adapter(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    adapters_unload(ex, b.data, b.n);
}

/* A model, or an adapter of it. What a file says of itself is known once it is loaded. */
static void write_model(struct json_writer *w, const struct served *m, const struct adapter *ad)
{
    const bool is_loaded = m->state == MODEL_IN;
    const struct model_info *i = is_loaded ? model_info(m->gen.model) : NULL;
    const char *name = ad ? ad->is.name : i ? i->name : NULL;
    json_object(w);
    json_key_cstring(w, "id", server_model_name(m, ad));
    json_key_cstring(w, "object", "model");
    json_key_int(w, "created", ad ? ad->loaded_s : m->created_s);
    json_key_cstring(w, "owned_by", i && i->author ? i->author : "cria");
    json_key_cstring(w, "parent", ad ? m->id : NULL);
    json_key(w, "meta");
    json_object(w);
    json_key_boolean(w, "loaded", is_loaded);
    json_key_cstring(w, "name", name);
    json_key_uint(w, "size", ad ? lora_bytes(ad->is.lora) : m->file_bytes);
    if (ad) json_key_int(w, "rank", lora_rank(ad->is.lora));
    if (i) {
        const struct model_config *c = model_config(m->gen.model);
        json_key_cstring(w, "type", i->type_name);
        json_key_uint(w, "n_params", i->n_params);
        json_key_int(w, "n_vocab", c->n_vocab);
        json_key_int(w, "n_ctx_train", c->n_ctx);
        json_key_int(w, "n_ctx", m->gen.n_ctx);
    }
    json_end(w);
    json_end(w);
}

struct model_list {
    struct json_writer *w;
    const struct server *s;
};

static void list_model(void *user, const struct served *m)
{
    const struct model_list *l = user;
    write_model(l->w, m, NULL);
}

static void list_adapter(void *user, const struct adapter *ad)
{
    const struct model_list *l = user;
    write_model(l->w, models_only(l->s->models), ad);
}

static void handle_models(struct exchange *ex, const char *rest, struct body b)
{
    struct server *s = ex->server;
    struct buf *out = fresh_text(ex);
    struct json_writer w = json_writer(out);
    struct model_list l = {&w, s};
    (void)rest, (void)b;
    json_object(&w);
    json_key_cstring(&w, "object", "list");
    json_key(&w, "data");
    json_array(&w);
    models_each(s->models, list_model, &l);
    adapters_each(s->adapters, list_adapter, &l);
    json_end(&w);
    json_key(&w, "features"); /* for the page */
    json_object(&w);
    json_key_boolean(&w, "chats", s->opt->store != NULL);
    json_key_boolean(&w, "sources", s->library != NULL);
    json_key_boolean(&w, "uploads", s->uploads != NULL);
    json_key_boolean(&w, "shares", s->opt->is_sharing);
    json_end(&w);
    json_end(&w);
    exchange_reply(ex, 200, JSON_TYPE, out);
}

static void handle_model(struct exchange *ex, const char *rest, struct body b)
{
    struct refusal r;
    const struct server *s = ex->server;
    char *name = evhttp_uridecode(rest, 0, NULL);
    const struct adapter *ad = name ? adapters_find(s->adapters, name) : NULL;
    const struct served *m = ad     ? models_only(s->models)
                             : name ? models_find(s->models, name)
                                    : NULL;
    (void)b;
    if (m) {
        struct buf *out = fresh_text(ex);
        struct json_writer w = json_writer(out);
        write_model(&w, m, ad);
        exchange_reply(ex, 200, JSON_TYPE, out);
    } else {
        refuse(&r, REFUSAL_NO_MODEL, "model",
               "there is no model \"%.80s\" here; /v1/models lists what there is",
               name ? name : "");
        exchange_refuse(ex, &r);
    }
    free(name);
}

static void handle_health(struct exchange *ex, const char *rest, struct body b)
{
    const struct server *s = ex->server;
    const struct worker_status st = models_status(s->models);
    const bool is_stuck = models_are_stuck(s->models);
    struct buf *out = fresh_text(ex);
    struct json_writer w = json_writer(out);
    (void)rest, (void)b;
    json_object(&w);
    json_key_cstring(&w, "status", is_stuck ? "stuck" : s->is_draining ? "draining" : "ok");
    json_key_boolean(&w, "busy", st.is_busy);
    json_key_float(&w, "heartbeat_age_s", (float)st.beat_age_ns * 1e-9f);
    json_key_int(&w, "running", st.engine.n_running);
    json_key_int(&w, "waiting", st.engine.n_queued);
    json_end(&w);
    exchange_reply(ex, is_stuck || s->is_draining ? 503 : 200, JSON_TYPE, out);
}

static void handle_metrics(struct exchange *ex, const char *rest, struct body b)
{
    const struct server *s = ex->server;
    const struct metrics_now now = {
        .n_connections = s->n_conns,
        .max_connections = s->max_conns,
        .models = s->models,
        .adapters = s->adapters,
    };
    struct buf *out = fresh_text(ex);
    (void)rest, (void)b;
    metrics_write(&s->metrics, &now, out);
    exchange_reply(ex, 200, "text/plain; version=0.0.4; charset=utf-8", out);
}

static void handle_tokenize(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    tokens_of_text(ex, b.data, b.n);
}

static void handle_detokenize(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest;
    text_of_tokens(ex, b.data, b.n);
}

/* ---- the page ---- */

static void handle_page(struct exchange *ex, const char *rest, struct body b)
{
    (void)b;
    page_reply(ex, rest);
}

static void handle_openapi(struct exchange *ex, const char *rest, struct body b)
{
    (void)rest, (void)b;
    page_reply(ex, "openapi.json");
}

/* ---- the table ---- */

const struct route routes[] = {
    /* clang-format off */
    /* path                    method               allow                   key    counts model  style              run */
    {"/chat/completions",      EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_chat},
    {"/completions",           EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_completions},
    {"/responses",             EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_responses},
    {"/responses/input_tokens", EVHTTP_REQ_POST,    "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_response_tokens},
    {"/responses/*/input_items", EVHTTP_REQ_GET,    "GET, OPTIONS",         true,  false, false, REFUSAL_OPENAI,    handle_response},
    {"/responses/",            EVHTTP_REQ_GET,      "GET, DELETE, OPTIONS", true,  false, false, REFUSAL_OPENAI,    handle_response},
    {"/responses/",            EVHTTP_REQ_DELETE,   "GET, DELETE, OPTIONS", true,  false, false, REFUSAL_OPENAI,    handle_response},
    {"/messages",              EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_ANTHROPIC, handle_messages},
    {"/messages/count_tokens", EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_ANTHROPIC, handle_message_tokens},
    {"/embeddings",            EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_embeddings},
    {"/rerank",                EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_rerank},
    {"/models",                EVHTTP_REQ_GET,      "GET, OPTIONS",         true,  false, false, REFUSAL_OPENAI,    handle_models},
    {"/models/",               EVHTTP_REQ_GET,      "GET, OPTIONS",         true,  false, false, REFUSAL_OPENAI,    handle_model},
    {"/load_lora_adapter",     EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  false, REFUSAL_OPENAI,    handle_load_adapter},
    {"/unload_lora_adapter",   EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  false, REFUSAL_OPENAI,    handle_unload_adapter},
    {"/tokenize",              EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_tokenize},
    {"/detokenize",            EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  true,  REFUSAL_OPENAI,    handle_detokenize},
    {"/chats",                 EVHTTP_REQ_GET,      "GET, OPTIONS",         true,  false, false, REFUSAL_OPENAI,    handle_chats},
    {"/chats/*/share",         EVHTTP_REQ_GET,      "GET, POST, DELETE, OPTIONS", true, false, false, REFUSAL_OPENAI, handle_share},
    {"/chats/*/share",         EVHTTP_REQ_POST,     "GET, POST, DELETE, OPTIONS", true, false, false, REFUSAL_OPENAI, handle_share},
    {"/chats/*/share",         EVHTTP_REQ_DELETE,   "GET, POST, DELETE, OPTIONS", true, false, false, REFUSAL_OPENAI, handle_share},
    {"/shared/",               EVHTTP_REQ_GET,      "GET, OPTIONS",         false, false, false, REFUSAL_OPENAI,    handle_shared},
    {"/chats/",                EVHTTP_REQ_GET,      "GET, PUT, DELETE, OPTIONS", true, false, false, REFUSAL_OPENAI, handle_one_chat},
    {"/chats/",                EVHTTP_REQ_PUT,      "GET, PUT, DELETE, OPTIONS", true, false, false, REFUSAL_OPENAI, handle_one_chat},
    {"/chats/",                EVHTTP_REQ_DELETE,   "GET, PUT, DELETE, OPTIONS", true, false, false, REFUSAL_OPENAI, handle_one_chat},
    {"/index",                 EVHTTP_REQ_POST,     "POST, OPTIONS",        true,  true,  false, REFUSAL_OPENAI,    handle_index},
    {"/passages/",             EVHTTP_REQ_GET,      "GET, OPTIONS",         true,  false, false, REFUSAL_OPENAI,    handle_passage},
    {"/health",                EVHTTP_REQ_GET,      "GET, OPTIONS",         false, false, false, REFUSAL_OPENAI,    handle_health},
    {"/metrics",               EVHTTP_REQ_GET,      "GET, OPTIONS",         true,  false, false, REFUSAL_OPENAI,    handle_metrics},
    {"/openapi.json",          EVHTTP_REQ_GET,      "GET, OPTIONS",         false, false, false, REFUSAL_OPENAI,    handle_openapi},
    {"/page/",                 EVHTTP_REQ_GET,      "GET, OPTIONS",         false, false, false, REFUSAL_OPENAI,    handle_page},
    {"/",                      EVHTTP_REQ_GET,      "GET, OPTIONS",         false, false, false, REFUSAL_OPENAI,    handle_page},
    {0},
    /* clang-format on */
};

/* `rest`: what stands in the place of what varies, and behind it. */
static bool matches(const char *row, const char *path, const char **rest)
{
    const size_t n = strlen(row), n_before = strcspn(row, "*");
    const bool has_more = n > 1 && row[n - 1] == '/' && strlen(path) > n;
    const bool is_like =
        has_more || n_before < n ? strncmp(path, row, n_before) == 0 : strcmp(path, row) == 0;
    if (!is_like) return false;
    *rest = path + n_before;
    if (n_before == n) return true;
    const size_t n_any = strcspn(*rest, "/");
    return n_any > 0 && strcmp(*rest + n_any, row + n_before + 1) == 0;
}

/* The row of the path with this method, else the first of the path. */
static const struct route *find_route(const char *path, enum evhttp_cmd_type method,
                                      const char **rest)
{
    const struct route *found = NULL;
    if (strncmp(path, "/v1/", 4) == 0) path += 3;
    for (const struct route *r = routes; r->path; r++) {
        const char *more = NULL;
        if (!matches(r->path, path, &more)) continue;
        if (found && (strcmp(found->path, r->path) != 0 || r->method != method)) continue;
        found = r;
        *rest = more;
        if (r->method == method) break;
    }
    return found;
}

/* ---- who may ask ---- */

static bool check_key(struct exchange *ex, const struct route *route, struct refusal *r)
{
    struct server *s = ex->server;
    const struct evkeyvalq *h = evhttp_request_get_input_headers(ex->req);
    const char *key = evhttp_find_header(h, "Authorization");
    if (!s->keys || !route->needs_key) return true;
    if (key && strncasecmp(key, "Bearer ", 7) == 0)
        key += 7;
    else
        key = evhttp_find_header(h, "X-Api-Key");
    const int i = key ? keys_find(s->keys, key, strlen(key)) : -1;
    if (i < 0)
        return refuse(r, REFUSAL_KEY, NULL,
                      key ? "this key is unknown; ask who runs the server for one"
                          : "no key; send the header Authorization: Bearer KEY");
    memcpy(ex->key_name, key_name(s->keys, i), strlen(key_name(s->keys, i)) + 1);
    return !route->counts || key_admit(s->keys, i, clock_ns(), r);
}

/* What a web page asks before it asks: which headers and methods it may use. */
static void answer_preflight(struct exchange *ex, const struct route *route)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(ex->req);
    if (ex->origin) {
        const char *wanted = evhttp_find_header(evhttp_request_get_input_headers(ex->req),
                                                "Access-Control-Request-Headers");
        evhttp_add_header(out, "Access-Control-Allow-Methods", route->allow);
        if (wanted) evhttp_add_header(out, "Access-Control-Allow-Headers", wanted);
        evhttp_add_header(out, "Access-Control-Max-Age", "600");
    }
    evhttp_add_header(out, "Allow", route->allow);
    exchange_reply(ex, 204, NULL, NULL);
}

/* Of other methods evhttp takes a body for the next request: nothing may follow them. */
static bool has_read_body(enum evhttp_cmd_type method)
{
    return (method & (EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH |
                      EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS)) != 0;
}

static bool check_route(struct exchange *ex, const struct route **route, const char **rest,
                        struct refusal *r)
{
    struct evhttp_request *req = ex->req;
    const struct server *s = ex->server;
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const enum evhttp_cmd_type method = evhttp_request_get_command(req);
    if (!has_read_body(method)) ex->closes = true;
    if (!http_check(headers, &ex->conn->scan, r) ||
        !host_check(&s->host_rule, headers, &ex->origin, r))
        return false;
    *route = find_route(path ? path : "", method, rest);
    if (!*route)
        return refuse(r, REFUSAL_NO_ROUTE, NULL,
                      "there is nothing at this path; /openapi.json has all there are");
    ex->path = (*route)->path;
    ex->refusal_style = (*route)->style;
    if (method == EVHTTP_REQ_OPTIONS) return true;
    if (method != (*route)->method) {
        refuse(r, REFUSAL_METHOD, NULL, "this path takes %s", (*route)->allow);
        r->allow = (*route)->allow;
        return false;
    }
    if (!check_key(ex, *route, r)) return false;
    if (s->is_draining && (*route)->counts)
        return refuse(r, REFUSAL_DRAINING, NULL, "the server is about to end");
    return true;
}

static struct body body_of(const struct exchange *ex)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(ex->req);
    const size_t n = evbuffer_get_length(in);
    return (struct body){n ? (const void *)evbuffer_pullup(in, -1) : "", n};
}

static void run(struct exchange *ex, const struct route *route, const char *rest)
{
    const struct body b = body_of(ex);
    ex->route = route;
    if (!route->needs_model || models_choose(ex, b.data, b.n)) route->run(ex, rest, b);
}

void route_go_on(struct exchange *ex) { ex->route->run(ex, "", body_of(ex)); }

void route_request(struct evhttp_request *req, void *server)
{
    struct server *s = server;
    struct conn *c = conn_begin(s, req);
    struct exchange *ex = c ? exchange_new(s, c, req) : NULL;
    if (!ex) {
        evhttp_send_error(req, 503, "No Memory");
        return;
    }
    struct refusal r = {0};
    const struct route *route = NULL;
    const char *rest = NULL;
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    const size_t n = evbuffer_get_length(in);
    bool ok = check_route(ex, &route, &rest, &r);
    if (ok && n > MAX_BODY_BYTES)
        ok = refuse(&r, REFUSAL_TOO_LARGE, NULL, "the body has %zu bytes; send at most %d", n,
                    MAX_BODY_BYTES);
    if (!ok)
        exchange_refuse(ex, &r);
    else if (evhttp_request_get_command(req) == EVHTTP_REQ_OPTIONS)
        answer_preflight(ex, route);
    else
        run(ex, route, rest);
}
