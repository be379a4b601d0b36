/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_serve.c - `cria serve`: a model for OpenAI clients over HTTP.
 *
 * This file only turns options into struct serve_options; the server is the room serve/. SIGPIPE is
 * ignored here, since a client that leaves in the middle of a write must not end the program.
 */
#include <signal.h>
#include <stdlib.h>

#include "cli/options.h"
#include "cria_version.h"
#include "serve/serve.h"

enum { MAX_LIST = 64, SCORE_ROWS = 64 /* tokens of prompts that a step can score */ };

struct lists {
    const char *origins[MAX_LIST], *hosts[MAX_LIST], *aliases[MAX_LIST];
};

static void say_listening(void *user, const char *url)
{
    (void)user;
    fprintf(stderr, "listening on %s\n", url);
    fflush(stderr);
}

static bool read_list(const struct args *a, const char *name, const char *list[MAX_LIST], int *n,
                      struct err *err)
{
    *n = args_count(a, name);
    if (*n > MAX_LIST)
        return err_set(err, ERR_USAGE, "--%s: %d times; at most %d", name, *n, MAX_LIST);
    for (int i = 0; i < *n; i++) list[i] = args_nth(a, name, i);
    return true;
}

static bool serve(const struct session *s, struct serve_options *o, struct err *err)
{
    o->adapters = s->adapter;
    o->n_adapters = s->n_adapters;
    return serve_run(s->engine, o, err);
}

/* ---- models of a directory ---- */

struct opener {
    const struct args *args;
    struct engine_options opt;
};

static void close_model(void *user, void *opened)
{
    (void)user;
    session_close(opened);
    free(opened);
}

static void *open_model(void *user, const char *path, uint64_t *n_bytes, struct err *err)
{
    const struct opener *o = user;
    struct engine_plan plan;
    struct session *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_MEMORY, "no memory for a model");
        return NULL;
    }
    if (session_open_file(path, s, err) && engine_measure(s->model, &o->opt, &plan, err)) {
        *n_bytes = plan.weight_bytes + plan.cache_bytes + plan.work_bytes;
        return s;
    }
    close_model(NULL, s);
    return NULL;
}

static struct engine *start_model(void *user, void *opened, struct err *err)
{
    const struct opener *o = user;
    struct session *s = opened;
    return session_start(o->args, &o->opt, s, err) ? s->engine : NULL;
}

/* What belongs to one model cannot be said of several. */
static bool serve_dir(const struct args *a, const struct engine_options *opt,
                      const struct serve_options *o, struct err *err)
{
    static const char *const others[] = {"model", "lora", "lora-dir", "alias", NULL};
    struct opener opener = {a, *opt};
    const struct model_opener source = {open_model, start_model, close_model, &opener};
    for (const char *const *name = others; *name; name++)
        if (args_has(a, *name))
            return err_set(err, ERR_USAGE,
                           "--models: --%s is for a server of one model; leave one of them out",
                           *name);
    struct serve_options of_dir = *o;
    of_dir.source = &source;
    return serve_run(NULL, &of_dir, err);
}

static int serve_command(const struct args *a, struct err *err)
{
    struct lists lists;
    struct serve_options o = {
        .models_dir = args_str(a, "models"),
        .models_bytes = (uint64_t)(args_float(a, "models-memory") * 1e9),
        .n_seqs = (int32_t)args_int(a, "parallel"),
        .host = args_str(a, "host"),
        .port = (int)args_int(a, "port"),
        .keys = args_str(a, "keys"),
        .store = args_str(a, "store"),
        .index = args_str(a, "index"),
        .index_mb = (int)args_int(a, "index-writable"),
        .is_sharing = args_flag(a, "share"),
        .store_mb = (int)args_int(a, "store-mb"),
        .store_days = (int)args_int(a, "store-days"),
        .lora_dir = args_str(a, "lora-dir"),
        .tls_cert = args_str(a, "tls-cert"),
        .tls_key = args_str(a, "tls-key"),
        .origins = lists.origins,
        .hosts = lists.hosts,
        .aliases = lists.aliases,
        .pooling = pooling_by_name(args_str(a, "pooling")),
        .is_insecure = args_flag(a, "insecure"),
        .max_queue = (int32_t)args_int(a, "queue"),
        .drain_s = (int)args_int(a, "drain"),
        .has_json_logs = args_flag(a, "log-json"),
        .version = CRIA_VERSION,
        .on_listening = say_listening,
    };
    struct session s = {0};
    struct engine_options opt = options_engine(a);
    opt.n_seqs = (int32_t)args_int(a, "parallel");
    opt.takes_adapters = options_has_lora(a) || o.lora_dir;
    opt.max_logit_rows = opt.n_seqs + SCORE_ROWS;
    signal(SIGPIPE, SIG_IGN);
    const bool ok = read_list(a, "cors", lists.origins, &o.n_origins, err) &&
                    read_list(a, "allow-host", lists.hosts, &o.n_hosts, err) &&
                    read_list(a, "alias", lists.aliases, &o.n_aliases, err) &&
                    (o.models_dir ? serve_dir(a, &opt, &o, err)
                                  : session_open(a, &opt, &s, err) && serve(&s, &o, err));
    session_close(&s);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name        letter arg       kind      min max    default      choices rep    help */
    {"config",     0,  "FILE",     OPT_FILE, 0,  0,     NULL,        NULL,   false, "options in TOML, as parallel = 16; the command line and CRIA_ variables win over it"},
    {"models",     0,  "DIR",       OPT_FILE, 0,  0,     NULL,        NULL,   false, "instead of -m: serve every GGUF file of this directory; requests name one, and it is loaded when it is named"},
    {"models-memory", 0, "GB",      OPT_FLOAT, 0, 1000000, "0",       NULL,   false, "most that these may take together, with their caches; those used longest ago make room; 0: 80 % of the machine's"},
    {"host",       0,  "ADDRESS",   OPT_STR,  0,  0,     "127.0.0.1", NULL,   false, "address to listen on; one that others can reach needs --keys or --insecure"},
    {"port",       0,  "PORT",      OPT_INT,  0,  65535, "8080",      NULL,   false, "port to listen on; 0: a free one, which stderr names"},
    {"parallel",   'p', "N",        OPT_INT,  1,  256,   "4",         NULL,   false, "answers at once, each with the whole --ctx"},
    {"queue",      0,  "N",         OPT_INT,  0,  1000,  "256",       NULL,   false, "requests that may wait beyond those; more are told to come again (429)"},
    {"pooling",    0,  "NAME",      OPT_NAME, 0,  0,     "mean",      pooling_names, false, "how /v1/embeddings makes one vector of a text's states"},
    {"alias",      0,  "NAME",      OPT_STR,  0,  0,     NULL,        NULL,   true,  "another name of the model in requests"},
    {"lora-dir",   0,  "DIR",       OPT_STR,  0,  0,     NULL,        NULL,   false, "let who may ask load adapters from this directory (/v1/load_lora_adapter), and unload any"},
    {"keys",       0,  "FILE",      OPT_FILE, 0,  0,     NULL,        NULL,   false, "who may ask: lines NAME SHA256 [REQUESTS/MIN [TOKENS/MIN [PRIORITY]]]; read again when it changes"},
    {"insecure",   0,  NULL,        OPT_FLAG, 0,  0,     NULL,        NULL,   false, "allow an address that others can reach without --keys"},
    {"store",      0,  "FILE",      OPT_FILE, 0,  0,     NULL,        NULL,   false, "database to keep responses and chats (/chats) in, made if it is not there; without it responses are kept in memory"},
    {"share",      0,  NULL,        OPT_FLAG, 0,  0,     NULL,        NULL,   false, "let owners of chats in --store make links that show one to whoever has the link, without a key"},
    {"store-mb",   0,  "MB",        OPT_INT,  1,  1000000, "1000",    NULL,   false, "most it may take; when it is full, the responses used longest ago go"},
    {"store-days", 0,  "DAYS",      OPT_INT,  0,  36500, "30",        NULL,   false, "responses that nobody used for so long go; 0: never"},
    {"index",      0,  "DB",        OPT_FILE, 0,  0,     NULL,        NULL,   false, "documents (cria index) that answers cite where a request has \"sources\""},
    {"index-writable", 0, "MB",     OPT_INT,  0,  1000000, "0",       NULL,   false, "let who may ask add documents to DB (/v1/index) until it takes so much; 0: nobody may"},
    {"tls-cert",   0,  "FILE",      OPT_FILE, 0,  0,     NULL,        NULL,   false, "certificate chain (PEM): serve https; read again on SIGHUP"},
    {"tls-key",    0,  "FILE",      OPT_FILE, 0,  0,     NULL,        NULL,   false, "its private key (PEM)"},
    {"cors",       0,  "ORIGIN",    OPT_STR,  0,  0,     NULL,        NULL,   true,  "web page that may ask, as https://example.org; *: all; without it only pages of this server"},
    {"allow-host", 0,  "NAME",      OPT_STR,  0,  0,     NULL,        NULL,   true,  "name that the Host header may have, for a proxy in front"},
    {"drain",      0,  "SECONDS",   OPT_INT,  0,  3600,  "30",        NULL,   false, "how long open answers may go on after SIGTERM"},
    {"log-json",   0,  NULL,        OPT_FLAG, 0,  0,     NULL,        NULL,   false, "log a JSON object a request"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &lora_group, &engine_group, NULL};

const struct command cmd_serve = {
    .name = "serve",
    .what = "answer OpenAI clients over HTTP",
    .options = options,
    .groups = groups,
    .details =
        "Answers /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages, "
        "/v1/embeddings, /v1/rerank, /v1/models, /v1/load_lora_adapter, /health, /metrics, "
        "/tokenize, /detokenize and /openapi.json, with --store /chats, with --index /passages and "
        "with --index-writable /index. "
        "Requests share "
        "one batch, and prompts "
        "that begin alike share their beginning.\n\n"
        "It listens on loopback unless --host says otherwise. SIGTERM lets open answers end.",
    .example = "  cria serve -m llama-3.2-1b-instruct --parallel 16\n"
               "  curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\":[{\"role\":"
               "\"user\",\"content\":\"Hello\"}]}'",
    .run = serve_command,
};
