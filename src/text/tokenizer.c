/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.c - a vocabulary made ready, and the way of a text through it.
 *
 *   pieces -> specials of markup taken out -> runs of ordinary text -> added tokens taken out
 *          -> pretok.c + bpe.c, or spm.c -> ids
 *
 * Control tokens are looked for in markup only. Tokens that were added for users (TOKEN_USER) are
 * ordinary text to whoever writes it, so they are looked for everywhere, and first. What is left
 * between two specials is one run, across the borders of pieces: a chat template's " " before a
 * user's word must meet that word as in training. A run that lies in one piece is encoded where it
 * is; only one that crosses a border is copied together.
 *
 * Decoding is decode_stream.c. Begin at tokenizer_encode_pieces().
 */
#include "text/tokenizer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_parts.h"

#define MAX_TEXT_BYTES ((size_t)INT32_MAX) /* positions are 31 bits in merge.h */

/* Texts of control tokens that end an answer in some model; a model that has one and says it has
 * finished, whatever its files name as end. */
static const char *const end_texts[] = {
    "<|eot_id|>",    "<|eom_id|>",    "<|end_of_text|>",
    "<|im_end|>",    "<|endoftext|>", "<|end|>",
    "<end_of_turn>", "</s>",          NULL,
};

/* ---- ids ---- */

void ids_release(struct ids *ids)
{
    free(ids->id);
    *ids = (struct ids){0};
}

bool ids_push(struct ids *ids, int32_t id, struct err *err)
{
    if (ids->n == ids->cap) {
        const size_t cap = ids->cap ? 2 * ids->cap : 64;
        int32_t *grown = realloc(ids->id, cap * sizeof *grown);
        if (!grown) return err_set(err, ERR_MEMORY, "text: no memory for %zu tokens", cap);
        ids->id = grown;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return true;
}

/* ---- life ---- */

static void find_stops(struct vocab *v)
{
    vocab_add_stop(v, v->eos);
    vocab_add_stop(v, v->eot);
    vocab_add_stop(v, v->eom);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (v->tokens[i].kind != TOKEN_CONTROL) continue;
        for (size_t e = 0; end_texts[e]; e++)
            if (v->tokens[i].n_bytes == strlen(end_texts[e]) &&
                memcmp(v->tokens[i].bytes, end_texts[e], v->tokens[i].n_bytes) == 0)
                vocab_add_stop(v, i);
    }
}

/* Texts of SentencePiece tokens with real spaces, and of byte tokens: one block. */
static bool make_texts(struct tokenizer *t, struct err *err)
{
    const struct vocab *v = t->vocab;
    if (v->model != VOCAB_SPM) return true;
    size_t n_bytes = 0; /* at most 4 million times 64 kB: no overflow */
    for (int32_t i = 0; i < v->n_tokens; i++) n_bytes += v->tokens[i].n_bytes + (size_t)1;
    t->text = arena_array(v->arena, (size_t)v->n_tokens, sizeof *t->text, err);
    char *block = t->text ? arena_array(v->arena, n_bytes, 1, err) : NULL;
    if (!block) return false;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *token = &v->tokens[i];
        const int byte = spm_byte_of(token);
        uint32_t n = 1;
        if (byte >= 0)
            block[0] = (char)byte;
        else
            n = spm_plain_text(token->bytes, token->n_bytes, block);
        t->text[i] = (struct token_text){block, n};
        block += token->n_bytes + (size_t)1;
    }
    return true;
}

static bool make_briefs(struct tokenizer *t, struct err *err)
{
    const struct vocab *v = t->vocab;
    t->brief = arena_array(v->arena, (size_t)v->n_tokens, sizeof *t->brief, err);
    if (!t->brief) return false;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        struct token_brief *b = &t->brief[i];
        const bool is_special =
            v->tokens[i].kind == TOKEN_CONTROL || v->tokens[i].kind == TOKEN_UNKNOWN;
        size_t n = 0;
        const char *s = tokenizer_bytes(t, i, true, &n);
        *b = (struct token_brief){.n_bytes = BRIEF_NONE};
        if (is_special || n > sizeof b->bytes) continue;
        memcpy(b->bytes, s, n);
        b->n_bytes = (uint8_t)n;
    }
    return true;
}

static bool init_model(struct tokenizer *t, const char *name, struct err *err)
{
    struct vocab *v = t->vocab;
    if (v->model == VOCAB_SPM) return spm_init(&t->spm, v, name, err);
    bool ignores_merges = v->ignores_merges;
    if (v->pretok == PRETOK_UNKNOWN) {
        v->pretok = pretok_guess(v);
        ignores_merges = ignores_merges || v->pretok == PRETOK_LLAMA3;
    }
    v->ignores_merges = ignores_merges;
    return bpe_init(&t->bpe, v, pretok_family_of(v->pretok), ignores_merges, name, err);
}

struct tokenizer *tokenizer_new(struct vocab *v, const char *name, struct err *err)
{
    if (!vocab_check(v, name, err)) return NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(err, ERR_MEMORY, "%s: no memory for a tokenizer; close other programs", name);
        return NULL;
    }
    t->vocab = v;
    const unsigned user = 1u << TOKEN_USER;
    const unsigned special = user | 1u << TOKEN_CONTROL | 1u << TOKEN_UNKNOWN;
    if (!init_model(t, name, err) || !make_texts(t, err) || !make_briefs(t, err) ||
        !specials_init(&t->user, v, user, err) || !specials_init(&t->all, v, special, err)) {
        t->vocab = NULL; /* stays the caller's */
        tokenizer_free(t);
        return NULL;
    }
    find_stops(v);
    return t;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    bpe_release(&t->bpe);
    spm_release(&t->spm);
    specials_release(&t->user);
    specials_release(&t->all);
    vocab_free(t->vocab);
    free(t);
}

const struct vocab *tokenizer_vocab(const struct tokenizer *t) { return t->vocab; }

const char *tokenizer_family(const struct tokenizer *t)
{
    return t->vocab->model == VOCAB_SPM ? "spm" : t->bpe.family->name;
}

bool tokenizer_is_stop(const struct tokenizer *t, int32_t id)
{
    for (int32_t i = 0; i < t->vocab->n_stop; i++)
        if (t->vocab->stop[i] == id) return true;
    return false;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *bytes, size_t n)
{
    struct special_hit hit;
    if (n == 0) return -1;
    if (specials_find(&t->all, bytes, n, 0, &hit) && hit.begin == 0 && hit.end == n) return hit.id;
    const struct token_index *x = t->vocab->model == VOCAB_SPM ? &t->spm.index : &t->bpe.index;
    return token_index_find(x, (const uint8_t *)bytes, n);
}

/* ---- encoding ---- */

/* One encoding under way. `joined` holds the run of ordinary text that is not encoded yet, if it
 * has crossed a border; else it is run[0..n_run). */
struct encoding {
    const struct tokenizer *t;
    struct merge_scratch scratch;
    const char *run;
    size_t n_run;
    struct buf joined;
    struct ids *out;
};

static bool encode_fragment(struct encoding *e, const char *s, size_t n, struct err *err)
{
    const struct tokenizer *t = e->t;
    const uint8_t *bytes = (const uint8_t *)s;
    if (n == 0) return true;
    if (t->vocab->model == VOCAB_BPE)
        return bpe_encode(&t->bpe, bytes, n, &e->scratch, e->out, err);
    return spm_encode(&t->spm, bytes, n, t->vocab->adds_space_prefix, &e->scratch, e->out, err);
}

/* Ordinary text: added tokens first, then what lies between them. */
static bool encode_run(struct encoding *e, const char *s, size_t n, struct err *err)
{
    if (n == 0) return true; /* s may be NULL */
    size_t at = 0;
    struct special_hit hit;
    while (specials_find(&e->t->user, s, n, at, &hit)) {
        if (!encode_fragment(e, s + at, hit.begin - at, err)) return false;
        if (!ids_push(e->out, hit.id, err)) return false;
        at = hit.end;
    }
    return encode_fragment(e, s + at, n - at, err);
}

/* Adds text to the run, without copying while it continues in memory. */
static void extend_run(struct encoding *e, const char *s, size_t n)
{
    if (n == 0) return;
    if (e->joined.n_bytes) {
        buf_append(&e->joined, s, n);
    } else if (e->n_run == 0) {
        e->run = s;
        e->n_run = n;
    } else if (e->run + e->n_run == s) {
        e->n_run += n;
    } else {
        buf_append(&e->joined, e->run, e->n_run);
        buf_append(&e->joined, s, n);
    }
}

static bool flush_run(struct encoding *e, struct err *err)
{
    if (!buf_check(&e->joined, "text", err)) return false;
    const bool is_joined = e->joined.n_bytes > 0;
    const bool ok = encode_run(e, is_joined ? e->joined.data : e->run,
                               is_joined ? e->joined.n_bytes : e->n_run, err);
    e->n_run = 0;
    buf_clear(&e->joined);
    return ok;
}

/* Added tokens stay in the run, where encode_run() finds them; control tokens end it. */
static bool encode_markup(struct encoding *e, const char *s, size_t n, struct err *err)
{
    size_t done = 0;
    struct special_hit hit;
    for (size_t at = 0; specials_find(&e->t->all, s, n, at, &hit); at = hit.end) {
        if (e->t->vocab->tokens[hit.id].kind == TOKEN_USER) continue;
        extend_run(e, s + done, hit.begin - done);
        if (!flush_run(e, err) || !ids_push(e->out, hit.id, err)) return false;
        done = hit.end;
    }
    extend_run(e, s + done, n - done);
    return true;
}

static bool encode_all(struct encoding *e, const struct text_piece *piece, size_t n_pieces,
                       unsigned flags, struct err *err)
{
    for (size_t i = 0; i < n_pieces; i++) {
        const struct text_piece *p = &piece[i];
        if (!p->is_markup && !(flags & ENCODE_SPECIAL))
            extend_run(e, p->text, p->n);
        else if (!encode_markup(e, p->text, p->n, err))
            return false;
    }
    return flush_run(e, err);
}

static bool check_size(const struct tokenizer *t, const struct text_piece *piece, size_t n_pieces,
                       struct err *err)
{
    const size_t limit = t->vocab->model == VOCAB_SPM ? MAX_TEXT_BYTES / 3 - 1 : MAX_TEXT_BYTES;
    size_t n = 0;
    for (size_t i = 0; i < n_pieces; i++) {
        if (piece[i].n > limit - n)
            return err_set(err, ERR_LIMIT, "text: over %zu bytes at once; encode it in parts",
                           limit);
        n += piece[i].n;
    }
    return true;
}

/* `flags` with the defaults of the vocabulary made explicit. */
static unsigned resolve_flags(const struct vocab *v, unsigned flags)
{
    if (flags & ENCODE_DEFAULT_BOS)
        flags |= (v->adds_bos ? ENCODE_BOS : 0u) | (v->adds_eos ? ENCODE_EOS : 0u);
    if (v->bos < 0) flags &= ~(unsigned)ENCODE_BOS;
    if (v->eos < 0) flags &= ~(unsigned)ENCODE_EOS;
    return flags;
}

/* If the text brought its own BOS, one of the two at `at` goes. */
static void drop_second_bos(struct ids *out, size_t at, int32_t bos)
{
    if (out->n < at + 2 || out->id[at + 1] != bos) return;
    out->n--;
    memmove(out->id + at, out->id + at + 1, (out->n - at) * sizeof *out->id);
}

bool tokenizer_encode_pieces(const struct tokenizer *t, const struct text_piece *piece,
                             size_t n_pieces, unsigned flags, struct ids *out, struct err *err)
{
    const struct vocab *v = t->vocab;
    const size_t n_before = out->n;
    flags = resolve_flags(v, flags);
    if (!check_size(t, piece, n_pieces, err)) return false;
    struct encoding e = {.t = t, .out = out};
    buf_init(&e.joined, MAX_TEXT_BYTES);
    bool ok = !(flags & ENCODE_BOS) || ids_push(out, v->bos, err);
    ok = ok && encode_all(&e, piece, n_pieces, flags, err);
    if (ok && (flags & ENCODE_BOS)) drop_second_bos(out, n_before, v->bos);
    const bool has_eos = out->n > n_before && out->id[out->n - 1] == v->eos;
    if (ok && (flags & ENCODE_EOS) && !has_eos) ok = ids_push(out, v->eos, err);
    merge_scratch_release(&e.scratch);
    buf_release(&e.joined);
    if (!ok) out->n = n_before;
    return ok;
}

bool tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags,
                      struct ids *out, struct err *err)
{
    const struct text_piece piece = {text, n, (flags & ENCODE_SPECIAL) != 0};
    return tokenizer_encode_pieces(t, &piece, 1, flags, out, err);
}
