/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c - the option rows that commands share: which model, how to run it, how to sample.
 *
 * Names follow llama.cpp's where users know them from there. Each row's default is what the library
 * does when nobody asks: sampler_defaults() and engine_options are the truth, and a test compares
 * them with these rows, since help must show them.
 */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/os.h"
#include "base/table.h"
#include "cli/hub.h"

static const char *const *kv_names(void)
{
    static const char *const names[] = {"f32", "f16", "bf16", "q8_0", NULL};
    return names;
}

static const char *const *isa_names(void)
{
    static const char *names[16]; /* written once, before there are threads */
    int n = 0;
    for (; n < ops_n_variants() && n < 15; n++) names[n] = ops_variant(n)->name;
    names[n] = NULL;
    return names;
}

static const struct option model_options[] = {
    /* clang-format off */
    /* name     letter arg      kind       min max      default choices  rep    help */
    {"model",   'm',  "MODEL",  OPT_FILE,  0,  0,       NULL,   NULL,    false, "GGUF file, Hugging Face or Meta directory, or a name that cria pull knows; without it the default model"},
    {0},
    /* clang-format on */
};
const struct option_group model_group = {"Model", model_options};

static const char *const *device_names(void)
{
    static const char *const names[] = {"cpu",    "cuda",   "cuda:0", "cuda:1", "cuda:2", "cuda:3",
                                        "cuda:4", "cuda:5", "cuda:6", "cuda:7", NULL};
    return names;
}

static const struct option engine_rows[] = {
    /* clang-format off */
    /* name     letter arg      kind       min max      default choices    rep    help */
    {"threads", 't',  "N",      OPT_INT,   0,  512,     "0",    NULL,      false, "threads; 0: one per physical core"},
    {"pin",     0,    NULL,     OPT_FLAG,  0,  0,       NULL,   NULL,      false, "bind each thread to a physical core of its own"},
    {"ctx",     'c',  "N",      OPT_INT,   0,  1048576, "0",    NULL,      false, "longest sequence in tokens; 0: the model's, at most 8192"},
    {"batch",   'b',  "N",      OPT_INT,   1,  16384,   "512",  NULL,      false, "most tokens in one step"},
    {"kv",      0,    "TYPE",   OPT_NAME,  0,  0,       "f16",  kv_names,  false, "type of the cached keys and values"},
    {"isa",     0,    "NAME",   OPT_NAME,  0,  0,       NULL,   isa_names, false, "kernel set to use instead of the fastest"},
    {"device",  0,    "NAME",   OPT_NAME,  0,  0,       "cpu",  device_names, false, "where the model is computed: this machine's cores, or an NVIDIA GPU"},
    {"repack",  0,    NULL,     OPT_FLAG,  0,  0,       NULL,   NULL,      false, "copy quantized weights into memory in the order that single tokens read fastest: not shared, longer to start"},
    {"huge-pages", 0, NULL,     OPT_FLAG,  0,  0,       NULL,   NULL,      false, "copy the weights into memory of 2 MiB pages instead of mapping them: faster to read, not shared, longer to start"},
    {0},
    /* clang-format on */
};
const struct option_group engine_group = {"Engine", engine_rows};

/* Apart from the engine's: bench and perplexity measure the model, not luck. */
static const struct option draft_rows[] = {
    /* clang-format off */
    /* name         letter arg      kind      min max               default choices rep    help */
    {"draft",       0,     "N",     OPT_INT,  0,  ENGINE_MAX_DRAFT, "6",    NULL,   false, "most tokens to guess ahead where the text repeats itself; 0: none; the answer is the same"},
    {"draft-model", 0,     "MODEL", OPT_FILE, 0,  0,                NULL,   NULL,   false, "a smaller model with the same vocabulary that guesses too"},
    {0},
    /* clang-format on */
};
const struct option_group draft_group = {"Guessing ahead", draft_rows};

static const struct option sampling_rows[] = {
    /* clang-format off */
    /* name               letter arg    kind       min    max     default choices rep   help */
    {"temp",              0,  "T",      OPT_FLOAT, 0,     100,    "0.8",  NULL, false, "temperature; 0: always the likeliest token"},
    {"top-k",             0,  "K",      OPT_INT,   0,     1e6,    "40",   NULL, false, "keep the K likeliest; 0: off"},
    {"top-p",             0,  "P",      OPT_FLOAT, 0,     1,      "0.95", NULL, false, "keep the likeliest that together reach P; 1: off"},
    {"min-p",             0,  "P",      OPT_FLOAT, 0,     1,      "0.05", NULL, false, "drop tokens below P times the likeliest; 0: off"},
    {"typical",           0,  "P",      OPT_FLOAT, 0,     1,      "1",    NULL, false, "locally typical sampling; 1: off"},
    {"seed",              's', "N",     OPT_INT,   0,     9e15,   NULL,   NULL, false, "seed; unset: a new one each time, shown with --verbose"},
    {"repeat-penalty",    0,  "R",      OPT_FLOAT, 0.01,  100,    "1",    NULL, false, "divide logits of recent tokens by R; 1: off"},
    {"presence-penalty",  0,  "A",      OPT_FLOAT, -100,  100,    "0",    NULL, false, "subtract A from logits of recent tokens"},
    {"frequency-penalty", 0,  "A",      OPT_FLOAT, -100,  100,    "0",    NULL, false, "subtract A for each recent use"},
    {"penalty-last",      0,  "N",      OPT_INT,   -1,    1e6,    "64",   NULL, false, "how many tokens are recent; -1: all"},
    {"dry",               0,  "M",      OPT_FLOAT, 0,     100,    "0",    NULL, false, "DRY multiplier against repeated phrases; 0: off"},
    {"dry-base",          0,  "B",      OPT_FLOAT, 1,     100,    "1.75", NULL, false, "DRY base"},
    {"dry-length",        0,  "N",      OPT_INT,   1,     10000,  "2",    NULL, false, "repeats up to this length are free"},
    {"dry-last",          0,  "N",      OPT_INT,   -1,    1e6,    "-1",   NULL, false, "tokens that DRY looks at; -1: all"},
    {"xtc",               0,  "P",      OPT_FLOAT, 0,     1,      "0",    NULL, false, "XTC probability: drop the top choices; 0: off"},
    {"xtc-threshold",     0,  "P",      OPT_FLOAT, 0,     1,      "0.1",  NULL, false, "what XTC calls a top choice"},
    {"mirostat",          0,  "TAU",    OPT_FLOAT, 0,     100,    "0",    NULL, false, "mirostat v2 with this target surprise; 0: off"},
    {"mirostat-eta",      0,  "ETA",    OPT_FLOAT, 0,     1,      "0.1",  NULL, false, "mirostat learning rate"},
    {"bias",              0,  "ID=B",   OPT_STR,   0,     0,      NULL,   NULL, true,  "add B to a token's logit; -inf bans it; ID is a number or a token's text"},
    {0},
    /* clang-format on */
};
const struct option_group sampling_group = {"Sampling", sampling_rows};

bool options_model_path(const struct args *a, char *path, struct err *err)
{
    return hub_find_model(args_str(a, "model"), path, err);
}

static bool is_on_gpu(const struct args *a) { return strcmp(args_str(a, "device"), "cpu") != 0; }

/* A GPU is a kernel set of its own. */
static const char *kernel_set(const struct args *a)
{
    return args_str(a, is_on_gpu(a) ? "device" : "isa");
}

struct engine_options options_engine(const struct args *a)
{
    const struct dtype_info *kv = dtype_by_name(args_str(a, "kv"));
    return (struct engine_options){
        .n_threads = (int)args_int(a, "threads"),
        .pins_threads = args_flag(a, "pin"),
        .isa = kernel_set(a),
        .n_ctx = (int32_t)args_int(a, "ctx"),
        .n_seqs = 1,
        .max_batch_tok = (int32_t)args_int(a, "batch"),
        .kv_dtype = kv ? kv->id : DT_COUNT,
    };
}

struct engine_options options_engine_draft(const struct args *a)
{
    struct engine_options o = options_engine(a);
    o.n_draft = (int32_t)args_int(a, "draft");
    return o;
}

/* "128001=-5" or "<|eot_id|>=-inf". */
static bool parse_bias(const char *s, const struct tokenizer *t, struct logit_bias *out,
                       struct err *err)
{
    const char *eq = strrchr(s, '=');
    char *end = NULL;
    if (!eq || eq == s)
        return err_set(err, ERR_USAGE, "--bias: \"%s\" has no value; write ID=BIAS", s);
    out->bias = strtof(eq + 1, &end);
    if (end == eq + 1 || *end || out->bias != out->bias)
        return err_set(err, ERR_USAGE, "--bias: \"%s\" is not a number; write ID=BIAS", eq + 1);
    const long id = strtol(s, &end, 10);
    if (end == eq && id >= 0 && id <= INT32_MAX)
        out->id = (int32_t)id;
    else
        out->id = t ? tokenizer_find(t, s, (size_t)(eq - s)) : -1;
    if (out->id < 0)
        return err_set(err, ERR_USAGE,
                       "--bias: \"%.*s\" is no token of this model; see cria tokenize",
                       (int)(eq - s), s);
    return true;
}

bool options_sampling(const struct args *a, const struct tokenizer *t,
                      struct logit_bias bias[SAMPLER_MAX_BIAS], struct sampler_params *out,
                      struct err *err)
{
    struct sampler_params p = sampler_defaults();
    p.temperature = (float)args_float(a, "temp");
    p.top_k = (int32_t)args_int(a, "top-k");
    p.top_p = (float)args_float(a, "top-p");
    p.min_p = (float)args_float(a, "min-p");
    p.typical_p = (float)args_float(a, "typical");
    p.repeat_penalty = (float)args_float(a, "repeat-penalty");
    p.presence_penalty = (float)args_float(a, "presence-penalty");
    p.frequency_penalty = (float)args_float(a, "frequency-penalty");
    p.penalty_last_n = (int32_t)args_int(a, "penalty-last");
    p.dry_multiplier = (float)args_float(a, "dry");
    p.dry_base = (float)args_float(a, "dry-base");
    p.dry_allowed_length = (int32_t)args_int(a, "dry-length");
    p.dry_last_n = (int32_t)args_int(a, "dry-last");
    p.xtc_probability = (float)args_float(a, "xtc");
    p.xtc_threshold = (float)args_float(a, "xtc-threshold");
    p.mirostat_tau = (float)args_float(a, "mirostat");
    p.mirostat_eta = (float)args_float(a, "mirostat-eta");
    p.seed = args_has(a, "seed") ? (uint64_t)args_int(a, "seed") : (uint64_t)clock_ns();
    const int n = args_count(a, "bias");
    if (n > SAMPLER_MAX_BIAS)
        return err_set(err, ERR_USAGE, "--bias: %d times; at most %d", n, SAMPLER_MAX_BIAS);
    for (int i = 0; i < n; i++)
        if (!parse_bias(args_nth(a, "bias", i), t, &bias[i], err)) return false;
    p.bias = bias;
    p.n_bias = n;
    log_debug("seed %llu", (unsigned long long)p.seed);
    *out = p;
    return true;
}

static void print_banner(const struct session *s)
{
    const struct engine_plan *p = engine_plan(s->engine);
    const struct model_info *i = model_info(s->model);
    char seqs[16] = "";
    if (p->n_seqs > 1) snprintf(seqs, sizeof seqs, "%d x ", (int)p->n_seqs);
    log_info("%s: %s, %.0f M parameters | kernels %s, %d thread%s%s | weights %.0f MB (%s), cache "
             "%.0f MB for %s%d tokens, work %.0f MB, %.1f GB free",
             i->name ? i->name : path_base(i->path), i->type_name, (double)i->n_params / 1e6,
             p->isa, p->n_threads, p->n_threads == 1 ? "" : "s", p->is_pinned ? " pinned" : "",
             (double)p->weight_bytes / 1e6, model_info_place(i), (double)p->cache_bytes / 1e6, seqs,
             p->n_ctx, (double)p->work_bytes / 1e6, (double)p->available_bytes / 1e9);
}

static bool place_weights(const struct args *a, struct model *m, struct err *err)
{
    if (is_on_gpu(a)) {
        static const char *const of_host[] = {"isa", "repack", "huge-pages", "pin"};
        for (size_t i = 0; i < sizeof of_host / sizeof *of_host; i++)
            if (args_has(a, of_host[i]))
                return err_set(err, ERR_USAGE, "--%s: is for the cpu; leave out --device",
                               of_host[i]);
        const struct ops *ops = ops_choose(kernel_set(a), err);
        return (ops && model_place(m, ops, err)) || err_wrap(err, "--device");
    }
    if (args_flag(a, "repack")) {
        const struct ops *ops = ops_choose(args_str(a, "isa"), err);
        return ops && (model_repack(m, ops, err) || err_wrap(err, "--repack"));
    }
    if (!args_flag(a, "huge-pages") || model_make_huge(m, err)) return true;
    return err_wrap(err, "--huge-pages");
}

/* A command without the draft group has n_draft 0. */
static bool open_draft_model(const struct args *a, struct engine_options *o, struct session *s,
                             struct err *err)
{
    char path[sizeof s->path];
    if (o->n_draft == 0 || !args_has(a, "draft-model")) return true;
    if (!hub_find_model(args_str(a, "draft-model"), path, err)) return false;
    o->draft_model = s->draft_model = model_open(path, err);
    return s->draft_model && place_weights(a, s->draft_model, err);
}

bool session_open_file(const char *path, struct session *s, struct err *err)
{
    *s = (struct session){0};
    snprintf(s->path, sizeof s->path, "%s", path);
    s->model = model_open(path, err);
    return s->model && model_require_tokenizer(s->model, err);
}

bool session_start(const struct args *a, const struct engine_options *opt, struct session *s,
                   struct err *err)
{
    struct engine_options o = *opt;
    if (!place_weights(a, s->model, err) || !open_draft_model(a, &o, s, err) ||
        (o.takes_adapters && !session_open_lora(a, s, err)))
        return false;
    s->engine = engine_new(s->model, &o, err);
    if (s->engine) print_banner(s);
    return s->engine != NULL;
}

bool session_open(const struct args *a, const struct engine_options *opt, struct session *s,
                  struct err *err)
{
    char path[sizeof s->path];
    const int64_t begin = clock_ns();
    *s = (struct session){0};
    if (!options_model_path(a, path, err)) return false;
    if (session_open_file(path, s, err) && (!opt || session_start(a, opt, s, err))) {
        s->load_ns = clock_ns() - begin;
        return true;
    }
    session_close(s);
    return false;
}

void session_close(struct session *s)
{
    engine_free(s->engine);
    for (int i = 0; i < s->n_adapters; i++) lora_close(s->adapter[i].lora);
    s->n_adapters = 0;
    model_close(s->model);
    model_close(s->draft_model);
    s->engine = NULL;
    s->model = s->draft_model = NULL;
}
