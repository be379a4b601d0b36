/* SPDX-License-Identifier: Apache-2.0
 *
 * llama2c_to_gguf.c - llama2.c's two flat files, rewritten with our GGUF writer.
 *
 * Checkpoint: seven int32 (dim, hidden, layers, heads, kv heads, vocabulary, context), then F32
 * tensors, each for all layers at once, in the order of `parts`; two tables of rotary numbers stand
 * before the output matrix, which is there only if the vocabulary is written as a negative number.
 * Rotary pairs are adjacent, as GGUF has them. Tokenizer: int32 of the longest piece, then for each
 * token a float score, an int32 length and the bytes; SentencePiece's U+2581 was made a space.
 *
 * A tool of the tests: the files are known ones, so only their sizes are checked.
 * Begin reading at llama2c_to_gguf().
 */
#include "tools/llama2c_to_gguf.h"

#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "formats/gguf.h"
#include "model/tensors.h"

enum { HEADER_INTS = 7, MAX_TOKENS = 65536 };
#define MAX_ARENA_BYTES ((size_t)64 << 20)

struct header {
    int32_t dim, hidden, layers, heads, kv_heads, vocab, ctx;
};

static const enum tensor_role parts[] = {
    ROLE_TOKEN_EMBD, ROLE_ATTN_NORM, ROLE_WQ,   ROLE_WK, ROLE_WV,         ROLE_WO,
    ROLE_FFN_NORM,   ROLE_GATE,      ROLE_DOWN, ROLE_UP, ROLE_OUTPUT_NORM};

static struct model_config config_of(const struct header *h)
{
    return (struct model_config){.n_layers = h->layers,
                                 .d_model = h->dim,
                                 .n_heads = h->heads,
                                 .n_kv_heads = h->kv_heads,
                                 .d_head = h->dim / h->heads,
                                 .d_ff = h->hidden,
                                 .n_vocab = h->vocab,
                                 .n_ctx = h->ctx,
                                 .is_tied = true};
}

static void put_config(struct gguf_writer *w, const struct header *h)
{
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "general.name", "stories260K", 11);
    gguf_put_str(w, "general.license", "mit", 3);
    gguf_put_u32(w, "llama.block_count", (uint32_t)h->layers);
    gguf_put_u32(w, "llama.context_length", (uint32_t)h->ctx);
    gguf_put_u32(w, "llama.embedding_length", (uint32_t)h->dim);
    gguf_put_u32(w, "llama.feed_forward_length", (uint32_t)h->hidden);
    gguf_put_u32(w, "llama.attention.head_count", (uint32_t)h->heads);
    gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)h->kv_heads);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_put_f32(w, "llama.rope.freq_base", 10000);
}

/* ---- vocabulary ---- */

struct pieces {
    const char *text[MAX_TOKENS];
    size_t n[MAX_TOKENS];
    float score[MAX_TOKENS];
    int32_t kind[MAX_TOKENS];
};

static int32_t kind_of(int32_t id)
{
    static const int32_t first[] = {2, 3, 3}; /* <unk>, <s>, </s>: unknown, control, control */
    if (id < 3) return first[id];
    return id < 3 + 256 ? 6 : 1; /* 256 byte pieces, then normal ones */
}

/* The names that SentencePiece has for the first three; llama2.c wrote others. */
static const char *const names[] = {"<unk>", "<s>", "</s>"};

static bool take_piece(struct pieces *p, int32_t id, const char *s, size_t n, struct arena *a,
                       struct err *err)
{
    char *text = arena_array(a, 3 * n + 1, 1, err); /* a space becomes the three bytes of U+2581 */
    if (!text) return false;
    for (size_t i = 0; i < n; i++) {
        const bool is_space = s[i] == ' ';
        memcpy(text + p->n[id], is_space ? "\xe2\x96\x81" : s + i, is_space ? 3 : 1);
        p->n[id] += is_space ? 3 : 1;
    }
    p->text[id] = id < 3 ? names[id] : text;
    if (id < 3) p->n[id] = strlen(names[id]);
    p->kind[id] = kind_of(id);
    return true;
}

static bool put_vocab(struct gguf_writer *w, const struct buf *tok, int32_t n_vocab,
                      struct arena *a, struct err *err)
{
    struct pieces *p = arena_array(a, 1, sizeof *p, err);
    size_t at = sizeof(int32_t);
    if (!p) return false;
    for (int32_t id = 0; id < n_vocab; id++) {
        int32_t n = 0;
        if (tok->n_bytes - at < 8) return err_set(err, ERR_FORMAT, "tokenizer is cut short");
        memcpy(&p->score[id], tok->data + at, 4);
        memcpy(&n, tok->data + at + 4, 4);
        at += 8;
        if (n < 0 || (size_t)n > tok->n_bytes - at)
            return err_set(err, ERR_FORMAT, "tokenizer is cut short");
        if (!take_piece(p, id, tok->data + at, (size_t)n, a, err)) return false;
        at += (size_t)n;
    }
    gguf_put_str(w, "tokenizer.ggml.model", "llama", 5);
    gguf_put_str_array(w, "tokenizer.ggml.tokens", p->text, p->n, (size_t)n_vocab);
    gguf_put_f32_array(w, "tokenizer.ggml.scores", p->score, (size_t)n_vocab);
    gguf_put_i32_array(w, "tokenizer.ggml.token_type", p->kind, (size_t)n_vocab);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
    return true;
}

/* ---- tensors ---- */

static void put_tensors(struct gguf_writer *w, const struct model_config *c)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const struct tensor_row *r = &tensor_rows_table[parts[i]];
        const int64_t shape[] = {tensor_dim_size(c, r->rows), tensor_dim_size(c, r->cols)};
        const bool is_vector = r->rows == DIM_NONE;
        for (int32_t k = 0; k < tensor_copies(c, r); k++) {
            char name[TENSOR_NAME_BYTES];
            tensor_name(name, r->gguf, k);
            gguf_put_tensor(w, name, DT_F32, is_vector ? 1 : 2, is_vector ? shape + 1 : shape);
        }
    }
}

static bool write_tensors(struct gguf_writer *w, const struct model_config *c,
                          const struct buf *bin, struct err *err)
{
    size_t at = HEADER_INTS * sizeof(int32_t);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const struct tensor_row *r = &tensor_rows_table[parts[i]];
        const size_t n =
            (size_t)(tensor_dim_size(c, r->rows) * tensor_dim_size(c, r->cols)) * sizeof(float);
        for (int32_t k = 0; k < tensor_copies(c, r); k++, at += n) {
            if (n > bin->n_bytes - at) return err_set(err, ERR_FORMAT, "checkpoint is cut short");
            if (!gguf_writer_data(w, bin->data + at, n, err)) return false;
        }
    }
    return true;
}

static bool convert(struct gguf_writer *w, const struct buf *bin, const struct buf *tok,
                    struct arena *a, const char *out, struct err *err)
{
    struct header h;
    if (bin->n_bytes < sizeof h) return err_set(err, ERR_FORMAT, "checkpoint is cut short");
    memcpy(&h, bin->data, sizeof h);
    if (h.vocab < 3 || h.vocab > MAX_TOKENS || h.heads < 1)
        return err_set(err, ERR_UNSUPPORTED, "only tied checkpoints are converted");
    const struct model_config c = config_of(&h);
    put_config(w, &h);
    if (!put_vocab(w, tok, h.vocab, a, err)) return false;
    put_tensors(w, &c);
    return gguf_writer_begin(w, out, err) && write_tensors(w, &c, bin, err) &&
           gguf_writer_commit(w, err);
}

bool llama2c_to_gguf(const char *bin, const char *tok, const char *out, struct err *err)
{
    struct buf b, t;
    buf_init(&b, (size_t)1 << 30);
    buf_init(&t, (size_t)1 << 24);
    struct arena *a = arena_new(MAX_ARENA_BYTES, err);
    struct gguf_writer *w = a ? gguf_writer_new(err) : NULL;
    const bool ok = w && file_read_all(bin, b.max_bytes, &b, err) &&
                    file_read_all(tok, t.max_bytes, &t, err) && convert(w, &b, &t, a, out, err);
    gguf_writer_free(w);
    arena_free(a);
    buf_release(&b);
    buf_release(&t);
    return ok;
}
