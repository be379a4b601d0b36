/* vocab_parts.h - what the readers and writers of vocabularies share: the GPT-2 spelling of bytes,
 * a hash from bytes to id, merges that a vocabulary only implies, the last step of every reader,
 * and the readers of single files that vocab_dir.c chooses from. Private to formats/vocab_*.c. Any
 * thread.
 */
#ifndef CRIA_FORMATS_VOCAB_PARTS_H
#define CRIA_FORMATS_VOCAB_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "text/vocab.h"

#define VOCAB_MAX_TEMPLATE_BYTES (1u << 20) /* spec/inference.md b2, rule 2 */

/* ---- the GPT-2 spelling: every byte as one printable character (spec/llama3.md 2.9) ---- */

/* Turns s[0..n) back into bytes; `out` has room for n. False if a character is not one of the 256
 * (then `out` is scratch). */
bool spelling_to_bytes(const char *s, size_t n, char *out, size_t *n_out);
/* Writes at most 2 n bytes and no NUL; returns how many. */
size_t spelling_of_bytes(const char *bytes, size_t n, char *out);

/* ---- a block that the texts of all tokens are cut from ---- */

struct text_block {
    char *at;
    size_t n_left;
};
/* A block of `n_bytes` of text for `n_texts` texts (each is ended by a NUL). */
bool text_block_init(struct text_block *b, struct vocab *v, size_t n_bytes, size_t n_texts,
                     struct err *err) CRIA_CHECK;
/* Cuts off a NUL-terminated copy. The caller's count of bytes guarantees room (asserted). */
const char *text_block_cut(struct text_block *b, const char *s, size_t n);

/* ---- tokens ---- */

/* Makes room for `n_tokens` tokens, each of kind unused and without text. */
bool vocab_tokens_init(struct vocab *v, int32_t n_tokens, struct err *err) CRIA_CHECK;
/* Sets token `id` to a text as files have it: a normal token of a byte-level vocabulary is spelled
 * in the GPT-2 way. One that is not, or that is empty, no text can ever give: it becomes unused. */
void vocab_put_token(struct vocab *v, struct text_block *b, int32_t id, enum token_kind kind,
                     const char *s, size_t n);
/* Sets the chat template to a copy, none if it is empty. ERR_LIMIT above the cap, ERR_FORMAT if it
 * holds a zero byte; `name` and `place` say where it is from. */
bool vocab_put_template(struct vocab *v, const char *s, size_t n, const char *name,
                        const char *place, struct err *err) CRIA_CHECK;
/* True for <0x00> to <0xFF>. */
bool is_byte_spelling(const char *s, size_t n);

/* ---- bytes to id ---- */

struct token_map {
    const struct vocab *v;
    int32_t *slot; /* id, or -1 */
    uint64_t *hash;
    size_t mask;
};

/* Hashes all tokens of `v` (kept). Where two have the same bytes, a normal one wins, then the lower
 * id. End it with token_map_release(). */
bool token_map_init(struct token_map *m, const struct vocab *v, struct err *err) CRIA_CHECK;
void token_map_release(struct token_map *m);
int32_t token_map_find(const struct token_map *m, const char *bytes, size_t n); /* or -1 */
/* The same for a text in the GPT-2 spelling, at most 8 KiB of it. */
int32_t token_map_find_spelled(const struct token_map *m, const char *s, size_t n);

/* ERR_FORMAT if two normal tokens, or two special or added ones, have the same text. */
bool token_map_check(const struct token_map *m, const char *name, struct err *err) CRIA_CHECK;

/* ---- merges that are only implied ---- */

struct merge_list {
    struct vocab_merge *merge; /* malloc'd */
    int32_t n;
};
void merge_list_release(struct merge_list *l);
/* Every split of every normal token into two normal tokens; tokens in the order of their ranks
 * (BPE: id; SPM: falling score, then id), splits of one token by the ids of their halves: the list
 * that Hugging Face publishes for such vocabularies (spec/llama3.md 2.9). Time in proportion to
 * the bytes of all tokens. */
bool merges_from_ranks(const struct vocab *v, struct merge_list *out, struct err *err) CRIA_CHECK;

/* ---- specials ---- */

/* Id of the special or added token with exactly this text (any kind if there is no such), or -1. */
int32_t vocab_find_text(const struct vocab *v, const char *text);

/* Last step of a reader, once eos and the ids that files name are in: what the template names
 * joins the stop set, and eot and eom are found by name if they are among the stops. May be
 * called again when more is known. */
void vocab_finish(struct vocab *v);

/* As vocab_finish(), then all checks that end a reader. */
bool vocab_finish_checked(struct vocab *v, const char *name, struct err *err) CRIA_CHECK;

/* Hugging Face lists no scores: those of a SentencePiece model trained as BPE count down in the
 * order of the ids. The score that normal token `id` then has; `first` is the first normal id. */
float spm_score_by_rule(int32_t id, int32_t first);
int32_t spm_first_normal(const struct vocab *v);

/* ---- pre-tokenizer names ---- */

struct pretok_name {
    const char *gguf;  /* tokenizer.ggml.pre */
    const char *regex; /* of a Hugging Face "Split", or NULL */
    enum pretok pretok;
};
/* The first row of each family is the one to write; ended by a row of NULLs. */
extern const struct pretok_name pretok_names[];

/* ---- the readers behind tokenizer_files.h ---- */

/* Of a tokenizer.model, each one of its two forms. */
struct vocab *vocab_from_tiktoken(const uint8_t *data, size_t n_bytes, const char *name,
                                  bool is_llama31, struct err *err);
struct vocab *vocab_from_spm(const uint8_t *data, size_t n_bytes, const char *name,
                             struct err *err);

/* What a tokenizer.json does around its model (vocab_hf_steps.c). */
struct hf_steps {
    enum vocab_model model;
    enum pretok pretok;
    bool adds_space_prefix;
    int32_t before, after; /* ids that the post-processor puts around a text, or -1 */
};
bool hf_steps_read(struct json root, const char *name, struct hf_steps *out,
                   struct err *err) CRIA_CHECK;

/* Adds what the files beside the vocabulary say (vocab_settings.c): ids, BOS, template, stops, and
 * if it `is_model` (tokenizer.model, which holds no added tokens) those too. */
bool vocab_settings_read(struct vocab *v, const char *dir, bool is_model,
                         struct err *err) CRIA_CHECK;
/* Adds the tokens of an added_tokens_decoder (`is_by_id`) or added_tokens.json. */
bool vocab_added_read(struct vocab *v, struct json list, bool is_by_id, const char *path,
                      struct err *err) CRIA_CHECK;
/* Whether config.json or params.json in `dir` ask for the rope scaling of Llama 3.1. */
bool vocab_dir_is_llama31(const char *dir);

#endif
