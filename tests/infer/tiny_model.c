/* SPDX-License-Identifier: Apache-2.0
 *
 * tiny_model.c - random weights in a GGUF file.
 *
 * Weights are scaled by 1/sqrt(columns) so that activations stay near 1; the head's rows of
 * specials and bytes are zero, so that greedy answers are made of words, and its other rows are
 * large, so that the likeliest token wins by more than rounding.
 * An error ends the program, so that fuzz targets, which have no test library, can use it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/rng.h"
#include "formats/gguf.h"
#include "tiny_model.h"

enum { D = 64, N_HEADS = 4, N_KV = 2, D_HEAD = 16, D_FF = 96, N_LAYERS = 2 };

static const struct shape {
    const char *name;
    int64_t rows, cols; /* rows 0: a vector of ones */
    float scale;
    bool is_per_layer;
} shapes[] = {
    /* clang-format off */
    {"token_embd.weight",          TINY_VOCAB,       D,    1, false},
    {"output_norm.weight",         0,                D,    1, false},
    {"output.weight",              TINY_VOCAB,       D,    4, false},
    {"blk.%d.attn_norm.weight",    0,                D,    1, true},
    {"blk.%d.attn_q.weight",       N_HEADS * D_HEAD, D,    2, true},
    {"blk.%d.attn_k.weight",       N_KV * D_HEAD,    D,    2, true},
    {"blk.%d.attn_v.weight",       N_KV * D_HEAD,    D,    1, true},
    {"blk.%d.attn_output.weight",  D,                D,    1, true},
    {"blk.%d.ffn_norm.weight",     0,                D,    1, true},
    {"blk.%d.ffn_gate.weight",     D_FF,             D,    1, true},
    {"blk.%d.ffn_up.weight",       D_FF,             D,    1, true},
    {"blk.%d.ffn_down.weight",     D,                D_FF, 1, true},
    /* clang-format on */
};

static void need(bool ok, const struct err *err)
{
    if (ok) return;
    fprintf(stderr, "tiny model: %s\n", err->text);
    abort();
}

static void put_vocab(struct gguf_writer *w)
{
    static char text[TINY_VOCAB][16];
    static const char *token[TINY_VOCAB];
    static size_t n_bytes[TINY_VOCAB];
    static float score[TINY_VOCAB];
    static int32_t kind[TINY_VOCAB];
    static const char *const specials[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i < TINY_VOCAB; i++) {
        const int n = i - TINY_FIRST_WORD;
        if (i < 3)
            snprintf(text[i], sizeof text[i], "%s", specials[i]);
        else if (n < 0)
            snprintf(text[i], sizeof text[i], "<0x%02X>", i - 3);
        else
            snprintf(text[i], sizeof text[i], "%s%c%c", n % 2 ? "\xE2\x96\x81" : "", 'a' + n % 26,
                     'a' + (n * 7 + n / 26) % 26); /* no two alike */
        if (i == TINY_VOCAB - 1) snprintf(text[i], sizeof text[i], "\xE2\x96\x81");
        token[i] = text[i];
        n_bytes[i] = strlen(text[i]);
        score[i] = (float)-i;
        kind[i] = i == 0 ? 2 : i < 3 ? 3 : n < 0 ? 6 : 1;
    }
    gguf_put_str(w, "tokenizer.ggml.model", "llama", 5);
    gguf_put_str_array(w, "tokenizer.ggml.tokens", token, n_bytes, TINY_VOCAB);
    gguf_put_f32_array(w, "tokenizer.ggml.scores", score, TINY_VOCAB);
    gguf_put_i32_array(w, "tokenizer.ggml.token_type", kind, TINY_VOCAB);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
}

static void put_config(struct gguf_writer *w)
{
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "general.name", "tiny", 4);
    gguf_put_u32(w, "llama.block_count", N_LAYERS);
    gguf_put_u32(w, "llama.embedding_length", D);
    gguf_put_u32(w, "llama.feed_forward_length", D_FF);
    gguf_put_u32(w, "llama.attention.head_count", N_HEADS);
    gguf_put_u32(w, "llama.attention.head_count_kv", N_KV);
    gguf_put_u32(w, "llama.context_length", TINY_CTX);
    gguf_put_u32(w, "llama.vocab_size", TINY_VOCAB);
    gguf_put_u32(w, "llama.rope.dimension_count", D_HEAD);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_put_f32(w, "llama.rope.freq_base", 10000);
}

static void declare(struct gguf_writer *w, const struct shape *s, int layer)
{
    char name[64];
    const int64_t shape[2] = {s->rows ? s->rows : s->cols, s->cols};
    if (s->is_per_layer)
        snprintf(name, sizeof name, s->name, layer);
    else
        snprintf(name, sizeof name, "%s", s->name);
    gguf_put_tensor(w, name, DT_F32, s->rows ? 2 : 1, shape);
}

static void write_data(struct gguf_writer *w, const struct shape *s, struct rng *r)
{
    struct err err = {0};
    const int64_t n = (s->rows ? s->rows : 1) * s->cols;
    const int64_t n_zero = strcmp(s->name, "output.weight") == 0 ? TINY_FIRST_WORD * s->cols : 0;
    float *x = calloc((size_t)n, sizeof *x);
    for (int64_t i = n_zero; i < n; i++)
        x[i] = s->rows ? rng_normal(r) * s->scale / sqrtf((float)s->cols) : 1;
    need(gguf_writer_data(w, x, (size_t)n * sizeof *x, &err), &err);
    free(x);
}

/* The order of tensors: once a model, then layer by layer. */
static void each(struct gguf_writer *w, struct rng *r)
{
    for (int layer = -1; layer < N_LAYERS; layer++)
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            if (shapes[i].is_per_layer == (layer >= 0)) {
                if (r)
                    write_data(w, &shapes[i], r);
                else
                    declare(w, &shapes[i], layer);
            }
}

void tiny_model_write(const char *path, uint64_t seed)
{
    struct err err = {0};
    struct rng r = rng_seed(seed);
    struct gguf_writer *w = gguf_writer_new(&err);
    need(w != NULL, &err);
    put_config(w);
    put_vocab(w);
    each(w, NULL);
    need(gguf_writer_begin(w, path, &err), &err);
    each(w, &r);
    need(gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);
}

struct model *tiny_model_open(uint64_t seed)
{
    struct err err = {0};
    char path[64];
    snprintf(path, sizeof path, "/tmp/cria-tiny-%d.gguf", (int)getpid());
    tiny_model_write(path, seed);
    struct model *m = model_open(path, &err);
    need(m != NULL, &err);
    unlink(path);
    return m;
}

int tiny_model_setup(void **state)
{
    *state = tiny_model_open(2);
    return 0;
}

int tiny_model_teardown(void **state)
{
    model_close(*state);
    return 0;
}
