/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_write_gguf.c - a vocabulary as tokenizer.* keys (spec/inference.md d3).
 *
 * What vocab_gguf.c reads back is the same vocabulary, except that ranks without merges (tiktoken)
 * come back with the merges that they imply, since the format has no other form for them. Control
 * tokens are written as they are, normal ones of a byte-level vocabulary in the GPT-2 spelling.
 *
 * Two keys are written only where a reader could not know otherwise: tokenizer.ggml.ignore_merges
 * if it is not what the pre-tokenizer's name implies, and tokenizer.cria.stop_token_ids if there
 * are ends beside EOS, EOT and EOM.
 *
 * Begin reading at vocab_to_gguf().
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/tokenizer_files.h"
#include "formats/vocab_parts.h"
#include "text/pretok.h"

struct strings {
    const char **s;
    size_t *n;
    struct buf text;
};

static bool strings_init(struct strings *t, size_t count, size_t n_bytes, struct err *err)
{
    *t = (struct strings){.s = malloc((count + 1) * sizeof *t->s),
                          .n = malloc((count + 1) * sizeof *t->n)};
    buf_init(&t->text, n_bytes + 1);
    if (!t->s || !t->n || !buf_grow(&t->text, n_bytes + 1))
        return err_set(err, ERR_MEMORY, "vocabulary: no memory to write %zu texts", count);
    buf_clear(&t->text); /* the room stays: texts in it do not move */
    return true;
}

static void strings_release(struct strings *t)
{
    free(t->s);
    free(t->n);
    buf_release(&t->text);
}

/* Appends the spelling of a token (its text, if not spelled) to the text that is being made. */
static void spell(struct strings *t, const struct vocab *v, int32_t id)
{
    const struct vocab_token *token = &v->tokens[id];
    const bool is_spelled = v->model == VOCAB_BPE && token->kind == TOKEN_NORMAL;
    char *at = buf_grow(&t->text, is_spelled ? 2 * (size_t)token->n_bytes : token->n_bytes);
    if (!at) return;
    if (is_spelled)
        t->text.n_bytes =
            (size_t)(at - t->text.data) + spelling_of_bytes(token->bytes, token->n_bytes, at);
    else if (token->n_bytes)
        memcpy(at, token->bytes, token->n_bytes);
}

static size_t total_bytes(const struct vocab *v)
{
    size_t n = 0;
    for (int32_t id = 0; id < v->n_tokens; id++) n += 2 * (size_t)v->tokens[id].n_bytes;
    return n;
}

static bool put_texts(const struct vocab *v, struct gguf_writer *w, struct err *err)
{
    struct strings t;
    const size_t count = (size_t)v->n_tokens;
    const bool ok = strings_init(&t, count, total_bytes(v), err);
    for (size_t i = 0; ok && i < count; i++) {
        t.s[i] = t.text.data + t.text.n_bytes;
        spell(&t, v, (int32_t)i);
        t.n[i] = (size_t)(t.text.data + t.text.n_bytes - t.s[i]);
    }
    if (ok) gguf_put_str_array(w, "tokenizer.ggml.tokens", t.s, t.n, count);
    strings_release(&t);
    return ok;
}

static bool put_kinds(const struct vocab *v, struct gguf_writer *w, struct err *err)
{
    const size_t n = (size_t)v->n_tokens;
    int32_t *kind = malloc(n * sizeof *kind);
    float *score = malloc(n * sizeof *score);
    const bool ok = kind && score;
    for (size_t i = 0; ok && i < n; i++) {
        kind[i] = (int32_t)v->tokens[i].kind;
        score[i] = v->tokens[i].score;
    }
    if (ok && v->model == VOCAB_SPM) gguf_put_f32_array(w, "tokenizer.ggml.scores", score, n);
    if (ok) gguf_put_i32_array(w, "tokenizer.ggml.token_type", kind, n);
    free(kind);
    free(score);
    return ok || err_set(err, ERR_MEMORY, "vocabulary: no memory to write %zu tokens", n);
}

static bool put_merge_texts(const struct vocab *v, const struct vocab_merge *merge, size_t count,
                            struct gguf_writer *w, struct err *err)
{
    struct strings t;
    size_t n_bytes = 2 * count;
    for (size_t i = 0; i < count; i++)
        n_bytes +=
            2 * ((size_t)v->tokens[merge[i].left].n_bytes + v->tokens[merge[i].right].n_bytes);
    const bool ok = strings_init(&t, count, n_bytes, err);
    for (size_t i = 0; ok && i < count; i++) {
        t.s[i] = t.text.data + t.text.n_bytes;
        spell(&t, v, merge[i].left);
        buf_putc(&t.text, ' ');
        spell(&t, v, merge[i].right);
        t.n[i] = (size_t)(t.text.data + t.text.n_bytes - t.s[i]);
    }
    if (ok) gguf_put_str_array(w, "tokenizer.ggml.merges", t.s, t.n, count);
    strings_release(&t);
    return ok;
}

static bool put_merges(const struct vocab *v, struct gguf_writer *w, struct err *err)
{
    struct merge_list implied = {0};
    if (v->model == VOCAB_SPM) return true;
    if (v->merges) return put_merge_texts(v, v->merges, (size_t)v->n_merges, w, err);
    if (!merges_from_ranks(v, &implied, err)) return false;
    const bool ok = put_merge_texts(v, implied.merge, (size_t)implied.n, w, err);
    merge_list_release(&implied);
    return ok;
}

static void put_str(struct gguf_writer *w, const char *key, const char *s)
{
    gguf_put_str(w, key, s, strlen(s));
}

static void put_pre(const struct vocab *v, struct gguf_writer *w)
{
    const enum pretok pretok = v->pretok == PRETOK_UNKNOWN ? pretok_guess(v) : v->pretok;
    const struct pretok_name *p = pretok_names;
    if (v->model == VOCAB_SPM) {
        put_str(w, "tokenizer.ggml.pre", "default");
        return;
    }
    while (p->pretok != pretok) p++; /* each family has a row */
    put_str(w, "tokenizer.ggml.pre", p->gguf);
    if (v->ignores_merges != (pretok == PRETOK_LLAMA3))
        gguf_put_bool(w, "tokenizer.ggml.ignore_merges", v->ignores_merges);
}

static void put_ids(const struct vocab *v, struct gguf_writer *w)
{
    const struct {
        const char *key;
        int32_t id;
    } rows[] = {
        {"tokenizer.ggml.bos_token_id", v->bos},     {"tokenizer.ggml.eos_token_id", v->eos},
        {"tokenizer.ggml.eot_token_id", v->eot},     {"tokenizer.ggml.eom_token_id", v->eom},
        {"tokenizer.ggml.unknown_token_id", v->unk}, {"tokenizer.ggml.padding_token_id", v->pad},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].id >= 0) gguf_put_u32(w, rows[i].key, (uint32_t)rows[i].id);
    for (int32_t i = 0; i < v->n_stop; i++) {
        if (v->stop[i] == v->eos || v->stop[i] == v->eot || v->stop[i] == v->eom) continue;
        gguf_put_i32_array(w, "tokenizer.cria.stop_token_ids", v->stop, (size_t)v->n_stop);
        return;
    }
}

void vocab_to_gguf(const struct vocab *v, struct gguf_writer *w, struct err *err)
{
    put_str(w, "tokenizer.ggml.model", v->model == VOCAB_BPE ? "gpt2" : "llama");
    put_pre(v, w);
    if (!put_texts(v, w, err) || !put_kinds(v, w, err) || !put_merges(v, w, err)) return;
    put_ids(v, w);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", v->adds_bos);
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", v->adds_eos);
    if (v->model == VOCAB_SPM)
        gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", v->adds_space_prefix);
    if (v->chat_template) put_str(w, "tokenizer.chat_template", v->chat_template);
}
