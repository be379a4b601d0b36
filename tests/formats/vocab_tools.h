/* vocab_tools.h - what the tests of vocabularies share: comparing two, checking ids, writing both
 * forms, and the small seeds of tests/fuzz/corpus, from which wrong files are made.
 */
#ifndef CRIA_TESTS_FORMATS_VOCAB_TOOLS_H
#define CRIA_TESTS_FORMATS_VOCAB_TOOLS_H

#include "bytes.h"

#include <sys/stat.h>

#include "formats/tokenizer_files.h"
#include "text/tokenizer.h"

static inline const char *seed_path(const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", CRIA_SOURCE_DIR, name);
    return path;
}

/* Fails with the text and both lists unless they are equal. */
static inline void check_ids(const char *what, const struct ids *got, const int32_t *want, size_t n)
{
    bool is_same = got->n == n;
    for (size_t i = 0; is_same && i < n; i++) is_same = got->id[i] == want[i];
    if (is_same) return;
    print_error("%s\n  got ", what);
    for (size_t i = 0; i < got->n && i < 40; i++) print_error(" %d", got->id[i]);
    print_error("\n  want");
    for (size_t i = 0; i < n && i < 40; i++) print_error(" %d", want[i]);
    fail_msg("%s: other ids", what);
}

static inline void check_text(const struct tokenizer *t, const char *text, size_t n, unsigned flags,
                              const int32_t *want, size_t n_want)
{
    struct err err = {0};
    struct ids ids = {0};
    assert_ok(tokenizer_encode(t, text, n, flags, &ids, &err), &err);
    check_ids(text, &ids, want, n_want);
    ids_release(&ids);
}

static inline bool has_stop(const struct vocab *v, int32_t id)
{
    for (int32_t i = 0; i < v->n_stop; i++)
        if (v->stop[i] == id) return true;
    return false;
}

static inline void check_number(const char *what, const char *field, int64_t a, int64_t b)
{
    if (a != b) fail_msg("%s: %s is %lld, not %lld", what, field, (long long)b, (long long)a);
}

/* Fails unless `b` says what `a` says. Merges are compared by the caller. */
static inline void check_same(const char *what, const struct vocab *a, const struct vocab *b)
{
    check_number(what, "model", a->model, b->model);
    check_number(what, "pretok", a->pretok, b->pretok);
    check_number(what, "n_tokens", a->n_tokens, b->n_tokens);
    for (int32_t i = 0; i < a->n_tokens; i++) {
        const struct vocab_token *x = &a->tokens[i], *y = &b->tokens[i];
        if (x->kind != y->kind || x->n_bytes != y->n_bytes || x->score != y->score ||
            memcmp(x->bytes, y->bytes, x->n_bytes + (size_t)1) != 0)
            fail_msg("%s: token %d is \"%s\" (%d, %g), not \"%s\" (%d, %g)", what, i, y->bytes,
                     (int)y->kind, (double)y->score, x->bytes, (int)x->kind, (double)x->score);
    }
    check_number(what, "bos", a->bos, b->bos);
    check_number(what, "eos", a->eos, b->eos);
    check_number(what, "eot", a->eot, b->eot);
    check_number(what, "eom", a->eom, b->eom);
    check_number(what, "unk", a->unk, b->unk);
    check_number(what, "pad", a->pad, b->pad);
    check_number(what, "adds_bos", a->adds_bos, b->adds_bos);
    check_number(what, "adds_eos", a->adds_eos, b->adds_eos);
    check_number(what, "adds_space_prefix", a->adds_space_prefix, b->adds_space_prefix);
    check_number(what, "ignores_merges", a->ignores_merges, b->ignores_merges);
    for (int32_t i = 0; i < a->n_stop; i++)
        if (!has_stop(b, a->stop[i])) fail_msg("%s: %d does not stop", what, a->stop[i]);
    if (!a->chat_template != !b->chat_template ||
        (a->chat_template && strcmp(a->chat_template, b->chat_template) != 0))
        fail_msg("%s: another template", what);
}

static inline void write_bytes(const char *dir, const char *name, const void *data, size_t n)
{
    char path[2048];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline void write_gguf(const struct vocab *v, const char *path)
{
    struct err err = {0};
    struct gguf_writer *w = gguf_writer_new(&err);
    assert_ok(w, &err);
    gguf_put_str(w, "general.architecture", "llama", 5); /* so that llama.cpp takes it */
    vocab_to_gguf(v, w, &err);
    assert_ok(err.code == ERR_OK, &err);
    assert_ok(gguf_writer_begin(w, path, &err) && gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);
}

/* As an exporter does: the ends that tokenizer_config.json has no place for are in
 * generation_config.json. */
static inline void write_hf(const struct vocab *v, const char *dir)
{
    struct err err = {0};
    struct buf b;
    buf_init(&b, 64 << 20);
    (void)mkdir(dir, 0755);
    assert_ok(vocab_to_hf_json(v, &b, &err), &err);
    write_bytes(dir, "tokenizer.json", b.data, b.n_bytes);
    buf_clear(&b);
    assert_ok(vocab_to_hf_config(v, &b, &err), &err);
    write_bytes(dir, "tokenizer_config.json", b.data, b.n_bytes);
    buf_clear(&b);
    buf_puts(&b, "{\"eos_token_id\":[");
    for (int32_t i = 0; i < v->n_stop; i++) buf_printf(&b, "%s%d", i ? "," : "", v->stop[i]);
    buf_puts(&b, "]}");
    write_bytes(dir, "generation_config.json", b.data, b.n_bytes);
    buf_release(&b);
}

#endif
