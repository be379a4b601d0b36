/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_embed.c - `cria embed`: a vector for each text, a line each.
 *
 * Texts are read, embedded and printed some hundreds at a time, so that a file of any length takes
 * the memory of a few of them, and results come while later ones are read. Sequences share one
 * cache of a single context: short texts fill a batch together, long ones take turns.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_write.h"
#include "cli/options.h"
#include "infer/embed.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20)
enum { MAX_TEXTS = 256, N_SEQS = 16, CACHE_TOK = 8192 };

/* Texts that have been read and not printed. */
struct texts {
    const struct args *args;
    struct engine *engine;
    enum pooling pooling;
    struct ids ids[MAX_TEXTS];
    size_t n, n_before;
    float *vector; /* [MAX_TEXTS, width] */
    struct buf line;
};

static void write_vector(const struct texts *t, size_t i, struct buf *out)
{
    const size_t d = (size_t)embed_width(t->engine);
    const float *v = t->vector + i * d;
    struct json_writer w = json_writer(out);
    if (!args_flag(t->args, "json")) {
        for (size_t k = 0; k < d; k++) buf_printf(out, k ? " %.9g" : "%.9g", (double)v[k]);
        return;
    }
    json_object(&w);
    json_key_uint(&w, "index", t->n_before + i);
    json_key_uint(&w, "tokens", t->ids[i].n);
    json_key(&w, "embedding");
    json_array(&w);
    for (size_t k = 0; k < d; k++) json_float(&w, v[k]);
    json_end(&w);
    json_end(&w);
}

/* Embeds and prints what has been read. */
static bool flush(struct texts *t, struct err *err)
{
    bool ok = engine_embed(t->engine, t->pooling, t->ids, t->n, t->vector, err);
    for (size_t i = 0; ok && i < t->n; i++) {
        buf_clear(&t->line);
        write_vector(t, i, &t->line);
        buf_putc(&t->line, '\n');
        ok = buf_check(&t->line, "a vector", err);
        if (ok) fwrite(t->line.data, 1, t->line.n_bytes, stdout);
    }
    t->n_before += t->n;
    for (size_t i = 0; i < t->n; i++) t->ids[i].n = 0;
    t->n = 0;
    return ok;
}

static bool add(struct texts *t, const char *text, size_t n, const char *name, size_t i_line,
                struct err *err)
{
    struct ids *ids = &t->ids[t->n];
    const int32_t n_ctx = engine_plan(t->engine)->n_ctx;
    if (!embed_tokenize(engine_model(t->engine), text, n, ids, err)) return false;
    /* said here, where file and line are known */
    if (ids->n == 0 || ids->n > (size_t)n_ctx) {
        err_set(err, ERR_LIMIT, "%zu tokens; give 1 to %d (--ctx)", ids->n, (int)n_ctx);
        return i_line ? err_wrap(err, "%s, line %zu", name, i_line) : err_wrap(err, "%s", name);
    }
    t->n++;
    return t->n < MAX_TEXTS || flush(t, err);
}

static bool add_lines(struct texts *t, FILE *f, const char *name, struct err *err)
{
    char *line = NULL;
    size_t cap = 0, i_line = 0;
    ssize_t n = 0;
    bool ok = true;
    while (ok && (n = getline(&line, &cap, f)) > 0) {
        if (line[n - 1] == '\n') n--;
        ok = add(t, line, (size_t)n, name, ++i_line, err);
    }
    free(line);
    return ok && (!ferror(f) || err_set(err, ERR_IO, "%s: it cannot be read", name));
}

static bool add_whole(struct texts *t, const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_TEXT_BYTES);
    const bool ok =
        (path ? file_read_all(path, MAX_TEXT_BYTES, &text, err)
              : file_read_fd(0, "standard input", MAX_TEXT_BYTES, &text, err)) &&
        add(t, text.data ? text.data : "", text.n_bytes, path ? path : "standard input", 0, err);
    buf_release(&text);
    return ok;
}

/* NULL: standard input. */
static bool add_file(struct texts *t, const char *path, struct err *err)
{
    if (args_flag(t->args, "whole")) return add_whole(t, path, err);
    if (!path) return add_lines(t, stdin, "standard input", err);
    FILE *f = fopen(path, "rb");
    if (!f) return err_set(err, ERR_IO, "%s: it cannot be opened; look at its name", path);
    const bool ok = add_lines(t, f, path, err);
    fclose(f);
    return ok;
}

static bool embed_all(struct texts *t, struct err *err)
{
    const int n_files = args_n_operands(t->args);
    t->vector = calloc(MAX_TEXTS * (size_t)embed_width(t->engine), sizeof *t->vector);
    if (!t->vector) return err_set(err, ERR_MEMORY, "no memory for %d vectors", MAX_TEXTS);
    bool ok = n_files > 0 || add_file(t, NULL, err);
    for (int i = 0; ok && i < n_files; i++) ok = add_file(t, args_operand(t->args, i), err);
    return ok && flush(t, err);
}

static int embed_run(const struct args *a, struct err *err)
{
    struct session s;
    struct engine_options opt = options_engine(a);
    opt.n_seqs = N_SEQS;
    opt.cache_tok = opt.n_ctx > CACHE_TOK ? opt.n_ctx : CACHE_TOK;
    if (!session_open(a, &opt, &s, err)) return 1;
    struct texts t = {
        .args = a, .engine = s.engine, .pooling = pooling_by_name(args_str(a, "pooling"))};
    buf_init(&t.line, MAX_TEXT_BYTES);
    const bool ok = embed_all(&t, err);
    for (size_t i = 0; i < MAX_TEXTS; i++) ids_release(&t.ids[i]);
    buf_release(&t.line);
    free(t.vector);
    session_close(&s);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name     letter arg     kind      min max default choices        rep    help */
    {"pooling", 0,     "NAME", OPT_NAME, 0,  0,  "mean", pooling_names, false, "which of a text's states make its vector: their mean, the mean with later ones weighing more, or the last"},
    {"whole",   0,     NULL,   OPT_FLAG, 0,  0,  NULL,   NULL,          false, "a file is one text, not one a line"},
    {"json",    0,     NULL,   OPT_FLAG, 0,  0,  NULL,   NULL,          false, "print an object a text: index, tokens, embedding"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &engine_group, NULL};

const struct command cmd_embed = {
    .name = "embed",
    .what = "vectors of texts, for search and comparison",
    .operands = "[FILE...]",
    .max_operands = -1,
    .options = options,
    .groups = groups,
    .details =
        "Reads a text a line from the files (or stdin) and prints a vector a line: the model's "
        "last states, pooled, of length 1, so that the dot product of two is their likeness.",
    .example = "  cria embed < titles.txt > vectors.txt\n"
               "  cria embed --whole --json --pooling weighted notes/*.md",
    .run = embed_run,
};
