/* SPDX-License-Identifier: Apache-2.0
 *
 * export_gguf.c - the frame of a GGUF file: its metadata (spec/inference.md d3).
 *
 * From GGUF, all keys travel as they are, unknown ones too, but for those that would not be true
 * any more: split.* (the output is one file), the type of the file, and how it was quantized. From
 * a directory the keys are made: what the card says, the configuration, the vocabulary.
 *
 * Llama 3.1's scaling of the rotary frequencies has no key; it is the tensor rope_freqs.weight, as
 * all readers expect. Dynamic scaling has no place in GGUF at all: up to the trained context it
 * changes nothing, so it is left out with a warning.
 *
 * Begin reading at export_gguf().
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "formats/tokenizer_files.h"
#include "model/export_parts.h"

enum { QUANTIZATION_VERSION = 2, ALIGNMENT = 32 };

static void put_text(struct gguf_writer *w, const char *key, const char *s)
{
    gguf_put_str(w, key, s, strlen(s));
}

/* ---- from GGUF ---- */

static bool has_prefix(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

static bool is_stale(const struct export_job *job, const char *key)
{
    if (has_prefix(key, "split.") || strcmp(key, "general.alignment") == 0) return true;
    return job->recipe && has_prefix(key, "quantize.");
}

static void copy_keys(const struct export_job *job, struct gguf_writer *w)
{
    const struct gguf *g = job->m->gguf;
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value(g, i);
        if (!is_stale(job, v->key)) gguf_put_value(w, v);
    }
}

/* ---- from a directory ---- */

/* "8.0B", "135M": two digits at least, as the hub's file names have it. */
static void put_size_label(const struct export_job *job, struct gguf_writer *w)
{
    static const struct {
        double unit;
        const char *letter;
    } units[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}};
    char text[32];
    const double n = (double)job->m->info.n_params;
    size_t i = 0;
    while (i < 3 && n < units[i].unit) i++;
    const double x = n / units[i].unit;
    snprintf(text, sizeof text, "%.*f%s", x < 9.95 ? 1 : 0, x, units[i].letter);
    put_text(w, "general.size_label", text);
}

static void put_scaling(const struct model_config *c, const char *path, struct gguf_writer *w)
{
    if (c->rope_scaling == ROPE_SCALING_LINEAR) {
        put_text(w, "llama.rope.scaling.type", "linear");
        gguf_put_f32(w, "llama.rope.scaling.factor", (float)c->rope_factor);
    }
    if (c->rope_scaling == ROPE_SCALING_DYNAMIC)
        log_warn("%s: dynamic scaling has no place in GGUF and is left out: nothing changes up to "
                 "%" PRId32 " tokens",
                 path, c->n_ctx);
}

static void put_config(const struct export_job *job, struct gguf_writer *w)
{
    const struct model_config *c = &job->m->config;
    const struct {
        const char *key;
        int32_t value;
    } numbers[] = {
        /* clang-format off */
        {"llama.block_count",             c->n_layers},
        {"llama.context_length",          c->n_ctx},
        {"llama.embedding_length",        c->d_model},
        {"llama.feed_forward_length",     c->d_ff},
        {"llama.attention.head_count",    c->n_heads},
        {"llama.attention.head_count_kv", c->n_kv_heads},
        {"llama.attention.key_length",    c->d_head},
        {"llama.attention.value_length",  c->d_head},
        {"llama.rope.dimension_count",    c->d_head},
        {"llama.vocab_size",              c->n_vocab},
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gguf_put_u32(w, numbers[i].key, (uint32_t)numbers[i].value);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", c->norm_eps);
    gguf_put_f32(w, "llama.rope.freq_base", (float)c->rope_theta);
    put_scaling(c, job->m->info.path, w);
}

/* Peers want a token for each row of the embedding: rows that were added to round its height up
 * get a name that nobody types. */
static bool put_vocab(const struct export_job *job, struct gguf_writer *w, struct err *err)
{
    if (!job->m->tokenizer) return true;
    struct vocab v = *tokenizer_vocab(job->m->tokenizer);
    const int32_t n = job->m->config.n_vocab;
    struct vocab_token *token = arena_array(job->arena, (size_t)n, sizeof *token, err);
    if (!token) return false;
    memcpy(token, v.tokens, (size_t)v.n_tokens * sizeof *token);
    for (int32_t i = v.n_tokens; i < n; i++) {
        char text[24];
        const int n_text = snprintf(text, sizeof text, "[PAD%" PRId32 "]", i);
        token[i] = (struct vocab_token){.kind = TOKEN_UNUSED, .n_bytes = (uint32_t)n_text};
        token[i].bytes = arena_copy(job->arena, text, (size_t)n_text, err);
        if (!token[i].bytes) return false;
    }
    v.tokens = token;
    v.n_tokens = n;
    struct err vocab_err = {0};
    vocab_to_gguf(&v, w, &vocab_err);
    if (vocab_err.code == ERR_OK) return true;
    *err = vocab_err;
    return false;
}

static bool make_keys(const struct export_job *job, struct gguf_writer *w, struct err *err)
{
    put_text(w, "general.architecture", "llama");
    put_text(w, "general.type", "model");
    info_put_gguf(&job->m->info, w);
    put_size_label(job, w);
    put_config(job, w);
    return put_vocab(job, w, err);
}

/* ---- all of it ---- */

static void put_types(const struct export_job *job, struct gguf_writer *w)
{
    const uint32_t type =
        job->recipe ? job->recipe->file_type : dtype_info(job->main_type)->file_type;
    const bool is_said = job->m->gguf && gguf_find(job->m->gguf, "general.file_type");
    if (job->recipe || !is_said) gguf_put_u32(w, "general.file_type", type);
    gguf_put_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
    gguf_put_u32(w, "general.alignment", ALIGNMENT);
}

static bool write_data(void *writer, const void *data, size_t n_bytes, struct err *err)
{
    return gguf_writer_data(writer, data, n_bytes, err);
}

static bool write_all(const struct export_job *job, struct gguf_writer *w, struct err *err)
{
    bool ok = true;
    if (job->m->gguf)
        copy_keys(job, w);
    else
        ok = make_keys(job, w, err);
    put_types(job, w);
    for (size_t i = 0; i < job->n_items; i++) {
        const struct export_item *it = &job->item[i];
        gguf_put_tensor(w, it->name, it->to, it->src.n_dims, it->src.shape);
    }
    return ok && gguf_writer_begin(w, job->out_path, err) && export_rows(job, write_data, w, err) &&
           gguf_writer_commit(w, err);
}

bool export_gguf(const struct export_job *job, struct err *err)
{
    struct gguf_writer *w = gguf_writer_new(err);
    const bool ok = w && write_all(job, w, err);
    gguf_writer_free(w);
    return ok;
}
