/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab.c - the life of a vocabulary, and the check that lets everyone after it trust its numbers.
 *
 * Readers fill the struct from files by strangers; vocab_check() is the one place that says what
 * holds afterwards: every id and merge is in range, every text is there and short enough, and any
 * text can be encoded at all. Byte-level vocabularies need not have all 256 bytes: SmolLM2's lacks
 * 21 that its training text never had, and such bytes are dropped, as its reference does; but one
 * without the printable ASCII letters and the space is not a byte-level vocabulary.
 */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

/* Four million tokens with their merges and texts: 24 + 12 bytes each and some text. */
#define MAX_ARENA_BYTES ((size_t)4 << 30)

struct vocab *vocab_new(struct err *err)
{
    struct vocab *v = calloc(1, sizeof *v);
    if (!v) {
        err_set(err, ERR_MEMORY, "vocabulary: no memory; close other programs");
        return NULL;
    }
    v->arena = arena_new(MAX_ARENA_BYTES, err);
    if (!v->arena) {
        free(v);
        return NULL;
    }
    v->bos = v->eos = v->eot = v->eom = v->unk = v->pad = -1;
    return v;
}

void vocab_free(struct vocab *v)
{
    if (!v) return;
    arena_free(v->arena);
    free(v);
}

void vocab_add_stop(struct vocab *v, int32_t id)
{
    if (id < 0 || v->n_stop >= (int32_t)(sizeof v->stop / sizeof v->stop[0])) return;
    for (int32_t i = 0; i < v->n_stop; i++)
        if (v->stop[i] == id) return;
    v->stop[v->n_stop++] = id;
}

static bool check_tokens(const struct vocab *v, const char *name, struct err *err)
{
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (!t->bytes || t->n_bytes > VOCAB_MAX_TOKEN_BYTES)
            return err_set(err, ERR_FORMAT,
                           "%s: token %d: %u bytes, want at most %d; fetch the file again", name, i,
                           t->n_bytes, VOCAB_MAX_TOKEN_BYTES);
        if (t->kind < TOKEN_NORMAL || t->kind > TOKEN_BYTE)
            return err_set(err, ERR_FORMAT,
                           "%s: token %d: type %d, want 1 to 6; fetch the file again", name, i,
                           (int)t->kind);
        if (t->score != t->score)
            return err_set(err, ERR_FORMAT, "%s: token %d: score is NaN; fetch the file again",
                           name, i);
    }
    return true;
}

static bool check_merges(const struct vocab *v, const char *name, struct err *err)
{
    for (int32_t i = 0; v->merges && i < v->n_merges; i++) {
        const struct vocab_merge m = v->merges[i];
        if (m.left < 0 || m.left >= v->n_tokens || m.right < 0 || m.right >= v->n_tokens)
            return err_set(err, ERR_FORMAT,
                           "%s: merge %d: tokens %d and %d, want 0 to %d; fetch the file again",
                           name, i, m.left, m.right, v->n_tokens - 1);
    }
    return true;
}

static bool check_specials(const struct vocab *v, const char *name, struct err *err)
{
    const struct {
        const char *what;
        int32_t id;
    } known[] = {{"bos", v->bos}, {"eos", v->eos}, {"eot", v->eot},
                 {"eom", v->eom}, {"unk", v->unk}, {"pad", v->pad}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].id < -1 || known[i].id >= v->n_tokens)
            return err_set(err, ERR_FORMAT,
                           "%s: %s token: id %d, want -1 to %d; fetch the file again", name,
                           known[i].what, known[i].id, v->n_tokens - 1);
    if (v->n_stop < 0 || v->n_stop > (int32_t)(sizeof v->stop / sizeof v->stop[0]))
        return err_set(err, ERR_FORMAT, "%s: %d stop tokens, want at most 16; fetch the file again",
                       name, v->n_stop);
    for (int32_t i = 0; i < v->n_stop; i++)
        if (v->stop[i] < 0 || v->stop[i] >= v->n_tokens)
            return err_set(err, ERR_FORMAT,
                           "%s: stop token: id %d, want 0 to %d; fetch the file again", name,
                           v->stop[i], v->n_tokens - 1);
    return true;
}

/* A BPE vocabulary has the bytes of ASCII letters and the space; a SentencePiece one can say
 * "unknown" or has all byte tokens. */
static bool check_bytes(const struct vocab *v, const char *name, struct err *err)
{
    bool has[256] = {false};
    int32_t n_byte_tokens = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (t->n_bytes == 1 && t->kind == TOKEN_NORMAL) has[(uint8_t)t->bytes[0]] = true;
        n_byte_tokens += t->kind == TOKEN_BYTE;
    }
    if (v->model == VOCAB_SPM) {
        if (v->unk >= 0 || n_byte_tokens >= 256) return true;
        return err_set(err, ERR_FORMAT,
                       "%s: %d byte tokens and no unknown token, want 256 or an unknown token; "
                       "fetch the file again",
                       name, n_byte_tokens);
    }
    for (int b = ' '; b <= 'z'; b++) {
        const bool is_needed = b == ' ' || (b >= 'A' && b <= 'Z') || b >= 'a';
        if (is_needed && !has[b])
            return err_set(err, ERR_FORMAT,
                           "%s: no token for the byte 0x%02x; this is not a byte-level vocabulary",
                           name, (unsigned)b);
    }
    return true;
}

bool vocab_check(const struct vocab *v, const char *name, struct err *err)
{
    if (v->n_tokens < 1 || v->n_tokens > VOCAB_MAX_TOKENS || !v->tokens)
        return err_set(err, ERR_FORMAT, "%s: %d tokens, want 1 to %d; fetch the file again", name,
                       v->n_tokens, VOCAB_MAX_TOKENS);
    return check_tokens(v, name, err) && check_merges(v, name, err) &&
           check_specials(v, name, err) && check_bytes(v, name, err);
}
