/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_inspect.c - `cria inspect`: what a model is, from its files, without running it.
 *
 * Weights are mapped and not read, so this takes milliseconds on a model of any size. A GGUF file
 * that holds no model that we can run (another architecture, only a vocabulary, types that are
 * given up) is still shown as a container, with the reason why it does not run: that is when people
 * inspect.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/json_write.h"
#include "base/os.h"
#include "cli/hub.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/terms.h"
#include "model/describe.h"

enum { DEFAULT_CTX = 8192 };

static void shape_text(char *s, size_t n, int32_t n_dims, const int64_t *shape)
{
    size_t used = 0;
    s[0] = '\0';
    for (int32_t i = 0; i < n_dims && used < n; i++)
        used += (size_t)snprintf(s + used, n - used, "%s%" PRId64, i ? " x " : "", shape[i]);
}

/* ---- a GGUF container ---- */

static void print_value(const struct gguf_value *v)
{
    printf("  %-44s ", v->key);
    if (v->type == GGUF_STRING) {
        const size_t n = v->n > 60 ? 60 : (size_t)v->n;
        prompt_quote(stdout, v->raw, n);
        if (v->n > n) printf("... (%" PRIu64 " bytes)", v->n);
    } else if (v->type == GGUF_ARRAY) {
        printf("[%" PRIu64 " elements]", v->n);
    } else if (v->type == GGUF_F32 || v->type == GGUF_F64) {
        printf("%g", gguf_elem_f64(v, 0));
    } else if (v->type == GGUF_BOOL) {
        printf("%s", gguf_elem_i64(v, 0) ? "true" : "false");
    } else {
        printf("%" PRId64, gguf_elem_i64(v, 0));
    }
    putchar('\n');
}

static void print_container(const struct gguf *g, bool shows_tensors)
{
    printf("GGUF version %u, %.1f MB, %zu keys, %zu tensors\n", gguf_version(g),
           (double)gguf_file_bytes(g) / 1e6, gguf_n_values(g), gguf_n_tensors(g));
    for (size_t i = 0; i < gguf_n_values(g); i++) print_value(gguf_value(g, i));
    for (size_t i = 0; shows_tensors && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        const char *type = ggml_type_name(t->ggml_type);
        char shape[100];
        shape_text(shape, sizeof shape, t->t.n_dims, t->t.shape);
        printf("  %-44s %-8s %s\n", t->name, type ? type : "unknown", shape);
    }
}

/* ---- a model ---- */

static void print_line(const char *key, const char *value)
{
    if (value) printf("%-16s %s\n", key, value);
}

static void print_shape(const struct model_config *c)
{
    printf("%-16s %d layers, width %d, %d heads of %d, %d kv heads, feed-forward %d\n", "shape",
           c->n_layers, c->d_model, c->n_heads, c->d_head, c->n_kv_heads, c->d_ff);
    printf("%-16s %d tokens%s\n", "vocabulary", c->n_vocab,
           c->is_tied ? ", output tied to the embedding" : "");
    printf("%-16s %d positions, rope theta %g, scaling %s", "context", c->n_ctx, c->rope_theta,
           rope_scaling_name(c->rope_scaling));
    if (c->rope_scaling != ROPE_SCALING_NONE) printf(" x %g", c->rope_factor);
    putchar('\n');
    if (c->has_attn_bias || c->has_mlp_bias)
        printf("%-16s %s%s\n", "biases", c->has_attn_bias ? "attention " : "",
               c->has_mlp_bias ? "feed-forward" : "");
}

static int32_t wanted_ctx(const struct args *a, const struct model_config *c)
{
    const int32_t ctx = (int32_t)args_int(a, "ctx");
    if (ctx > 0) return ctx;
    return c->n_ctx < DEFAULT_CTX ? c->n_ctx : DEFAULT_CTX;
}

static void print_memory(const struct args *a, const struct model *m)
{
    static const enum dtype types[] = {DT_F16, DT_Q8_0};
    const struct model_config *c = model_config(m);
    const int32_t ctx = wanted_ctx(a, c);
    printf("%-16s weights %.1f MB (mapped), %.1f GB free\n", "memory",
           (double)model_info(m)->file_bytes / 1e6, (double)os_memory_available() / 1e9);
    printf("%-16s ", "cache");
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const size_t kv = config_kv_bytes(c, types[i]);
        if (kv)
            printf("%s%.1f MB in %s", i ? ", " : "", (double)kv * ctx / 1e6,
                   dtype_info(types[i])->name);
    }
    printf(" for %d positions\n", ctx);
}

struct type_sums {
    int n[DT_COUNT];
    uint64_t bytes[DT_COUNT];
    bool is_listing;
};

static void count_tensor(void *user, const char *name, enum dtype dtype, int32_t n_dims,
                         const int64_t *shape, uint64_t n_bytes)
{
    struct type_sums *s = user;
    s->n[dtype]++;
    s->bytes[dtype] += n_bytes;
    if (!s->is_listing) return;
    char text[100];
    shape_text(text, sizeof text, n_dims, shape);
    printf("  %-44s %-8s %-16s %10.3f MB\n", name, dtype_info(dtype)->name, text,
           (double)n_bytes / 1e6);
}

static void print_tensors(const struct args *a, const struct model *m)
{
    struct type_sums s = {.is_listing = args_flag(a, "tensors")};
    if (s.is_listing) printf("tensors\n");
    model_each_tensor(m, count_tensor, &s);
    printf("%-16s", "types");
    const char *comma = " ";
    for (int t = 0; t < DT_COUNT; t++) {
        if (!s.n[t]) continue;
        printf("%s%s in %d tensor%s, %.1f MB", comma, dtype_info((enum dtype)t)->name, s.n[t],
               s.n[t] == 1 ? "" : "s", (double)s.bytes[t] / 1e6);
        comma = "; ";
    }
    putchar('\n');
}

static void print_ids(const char *key, const struct tokenizer *t)
{
    const struct vocab *v = tokenizer_vocab(t);
    printf("%-16s", key);
    for (int32_t i = 0; i < v->n_stop; i++) {
        size_t n = 0;
        const char *s = tokenizer_bytes(t, v->stop[i], true, &n);
        printf("%s%d ", i ? ", " : " ", v->stop[i]);
        prompt_quote(stdout, s, n);
    }
    putchar('\n');
}

static void print_model(const struct args *a, const struct model *m)
{
    const struct model_info *i = model_info(m);
    const struct tokenizer *t = model_tokenizer(m);
    const struct chat_family *chat = model_chat_family(m);
    print_line("path", i->path);
    print_line("name", i->name);
    print_line("author", i->author);
    print_line("version", i->version);
    print_line("description", i->description);
    print_line("licence", i->license ? i->license : "not stated");
    print_line("licence name", i->license_name);
    print_line("licence link", i->license_link);
    char terms[TERMS_BYTES];
    if (terms_of_model(i, terms)) print_line("terms", terms);
    printf("%-16s %.1f M, mostly %s, %.2f bits each\n", "parameters", (double)i->n_params / 1e6,
           i->type_name, 8.0 * (double)i->file_bytes / (double)i->n_params);
    print_shape(model_config(m));
    print_line("tokenizer", t ? tokenizer_family(t) : "none in these files");
    if (t) print_ids("ends answers", t);
    print_line("chat format", chat ? chat->name : "none: a base model");
    print_tensors(a, m);
    print_memory(a, m);
    if (args_flag(a, "template") && t && tokenizer_vocab(t)->chat_template)
        printf("template\n%s\n", tokenizer_vocab(t)->chat_template);
}

static void write_tensor(void *user, const char *name, enum dtype dtype, int32_t n_dims,
                         const int64_t *shape, uint64_t n_bytes)
{
    struct json_writer *w = user;
    json_object(w);
    json_key_cstring(w, "name", name);
    json_key_cstring(w, "type", dtype_info(dtype)->name);
    json_key(w, "shape");
    json_array(w);
    for (int32_t i = 0; i < n_dims; i++) json_int(w, shape[i]);
    json_end(w);
    json_key_uint(w, "bytes", n_bytes);
    json_end(w);
}

static bool print_json(const struct args *a, const struct model *m, struct err *err)
{
    const struct model_config *c = model_config(m);
    const struct tokenizer *t = model_tokenizer(m);
    struct buf b;
    buf_init(&b, (size_t)256 << 20);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    model_describe(m, &w);
    json_key(&w, "stop_tokens");
    json_array(&w);
    for (int32_t i = 0; t && i < tokenizer_vocab(t)->n_stop; i++)
        json_int(&w, tokenizer_vocab(t)->stop[i]);
    json_end(&w);
    json_key_cstring(&w, "template", t ? tokenizer_vocab(t)->chat_template : NULL);
    const int32_t ctx = wanted_ctx(a, c);
    json_key(&w, "memory");
    json_object(&w);
    json_key_int(&w, "ctx", ctx);
    json_key_uint(&w, "weight_bytes", model_info(m)->file_bytes);
    json_key_uint(&w, "cache_bytes_f16", (uint64_t)config_kv_bytes(c, DT_F16) * (uint64_t)ctx);
    json_key_uint(&w, "cache_bytes_q8_0", (uint64_t)config_kv_bytes(c, DT_Q8_0) * (uint64_t)ctx);
    json_end(&w);
    json_key(&w, "tensors");
    json_array(&w);
    model_each_tensor(m, write_tensor, &w);
    json_end(&w);
    json_end(&w);
    const bool ok = buf_check(&b, "the description", err);
    if (ok) printf("%s\n", b.data);
    buf_release(&b);
    return ok;
}

static int inspect_run(const struct args *a, struct err *err)
{
    char path[1024];
    if (args_n_operands(a) > 0 && args_has(a, "model")) {
        err_set(err, ERR_USAGE, "\"%s\" and --model together; name one model", args_operand(a, 0));
        return 2;
    }
    if (!hub_find_model(args_n_operands(a) > 0 ? args_operand(a, 0) : args_str(a, "model"), path,
                        err))
        return 1;
    struct model *m = model_open(path, err);
    if (m) {
        bool ok = true;
        if (args_flag(a, "json"))
            ok = print_json(a, m, err);
        else
            print_model(a, m);
        model_close(m);
        return ok ? 0 : 1;
    }
    struct err why = {0};
    struct gguf *g = args_flag(a, "json") ? NULL : gguf_open(path, &why);
    if (g) print_container(g, args_flag(a, "tensors"));
    gguf_close(g);
    return 1; /* it does not run as a model: `err` says why */
}

static const struct option options[] = {
    /* clang-format off */
    /* name     letter arg   kind      min max      default choices rep    help */
    {"ctx",      'c', "N",   OPT_INT,  0,  1048576, "0",    NULL,   false, "positions to plan the memory for; 0: the model's, at most 8192"},
    {"tensors",  0,   NULL,  OPT_FLAG, 0,  0,       NULL,   NULL,   false, "list every tensor"},
    {"template", 0,   NULL,  OPT_FLAG, 0,  0,       NULL,   NULL,   false, "print the chat template"},
    {"json",     0,   NULL,  OPT_FLAG, 0,  0,       NULL,   NULL,   false, "print one JSON object, tensors and template included"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, NULL};

const struct command cmd_inspect = {
    .name = "inspect",
    .what = "what a model is: shape, types, memory, licence",
    .operands = "[MODEL]",
    .max_operands = 1,
    .options = options,
    .groups = groups,
    .details =
        "Reads headers only. A GGUF file that is no model this program can run is shown as a "
        "container, and the exit status is 1.",
    .example = "  cria inspect\n  cria inspect model.gguf --tensors\n"
               "  cria inspect Llama-3.2-1B-Instruct --ctx 131072 --json",
    .run = inspect_run,
};
