/* SPDX-License-Identifier: Apache-2.0
 *
 * chunk.c - a document cut into passages along its structure.
 *
 * A passage is what a search finds and a citation shows, so it should be about one thing: a heading
 * always begins a new one, and a block is cut only if it is too long by itself, at the end of a
 * sentence or, in code, of a line. Where a passage stands is told by its heading path, which is
 * indexed beside its text. No overlap: docs/index.md has the measurement.
 *
 * Invariants
 *   I1  passages are in order, not empty, disjoint, and at most 2 * target_bytes long.
 *   I2  they begin and end at borders of UTF-8 sequences.
 */
#include "retrieve/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "retrieve/sentence.h"

enum { N_LEVELS = 6, MAX_HEADING_BYTES = 600 };

struct cutter {
    const struct doc *d;
    size_t target, most;
    const struct doc_block *path[N_LEVELS]; /* the headings that we are under, NULL: none */
    size_t begin, end;                      /* the passage being gathered; begin == end: none */
    bool has_body;                          /* it is more than headings */
    struct chunks *out;
    struct err *err;
};

static bool put(struct cutter *c, size_t begin, size_t end)
{
    struct chunks *o = c->out;
    if (o->n == o->cap) {
        const size_t cap = o->cap ? o->cap * 2 : 16;
        struct chunk *grown = realloc(o->chunk, cap * sizeof *grown);
        if (!grown) return err_set(c->err, ERR_MEMORY, "no memory for %zu passages", cap);
        o->chunk = grown;
        o->cap = cap;
    }
    struct buf b;
    buf_init(&b, MAX_HEADING_BYTES);
    buf_append(&b, c->d->title.data, c->d->title.n_bytes);
    for (int i = 0; i < N_LEVELS; i++) {
        if (!c->path[i]) continue;
        const size_t n = c->path[i]->end - c->path[i]->begin;
        const char *s = c->d->text.data + c->path[i]->begin;
        if (n == b.n_bytes && b.data && memcmp(s, b.data, n) == 0) continue; /* it is the title */
        if (b.n_bytes + n + 3 > MAX_HEADING_BYTES) break;
        buf_puts(&b, b.n_bytes ? " > " : "");
        buf_append(&b, s, n);
    }
    o->chunk[o->n] = (struct chunk){begin, end, buf_take(&b)};
    if (!o->chunk[o->n].heading) return err_set(c->err, ERR_MEMORY, "no memory for a heading");
    o->n++;
    return true;
}

static bool flush(struct cutter *c)
{
    const bool ok = c->begin == c->end || !c->has_body || put(c, c->begin, c->end);
    c->begin = c->end;
    c->has_body = false;
    return ok;
}

/* The best place to end a passage of [begin, limit): behind a sentence or line near the target,
 * else a space, else a border of characters. */
static size_t cut_place(const struct cutter *c, const struct doc_block *b, size_t begin)
{
    const char *s = c->d->text.data;
    const size_t limit = begin + c->most < b->end ? begin + c->most : b->end;
    size_t best = begin;
    for (size_t i = begin; i < limit && best < begin + c->target;) {
        size_t end = 0;
        if (b->kind == DOC_CODE) {
            const char *nl = memchr(s + i, '\n', limit - i);
            end = nl ? (size_t)(nl - s) : limit;
        } else {
            end = sentence_end(s, limit, i);
        }
        if (end == limit && limit < b->end) break; /* it goes on behind the limit */
        best = end;
        i = skip_space(s, limit, end);
    }
    if (best > begin) return best;
    for (best = limit; best > begin + c->target; best--)
        if (s[best] == ' ' || s[best] == '\n') return best;
    for (best = limit; best > begin + 1 && ((unsigned char)s[best] & 0xC0) == 0x80;) best--;
    return best;
}

static bool add_block(struct cutter *c, const struct doc_block *b)
{
    size_t begin = b->begin;
    if (c->begin != c->end && b->end - c->begin > c->most && !flush(c)) return false;
    while (b->end - begin > c->most) {
        const size_t end = cut_place(c, b, begin);
        assert(end > begin);
        if (!put(c, begin, end)) return false;
        begin = skip_space(c->d->text.data, b->end, end);
    }
    if (begin == b->end) return true;
    if (c->begin == c->end) c->begin = begin;
    c->end = b->end;
    c->has_body = true;
    return c->end - c->begin < c->target || flush(c);
}

static bool add_heading(struct cutter *c, const struct doc_block *b)
{
    if (c->has_body && !flush(c)) return false;
    if (b->end - b->begin > c->most) return add_block(c, b);
    if (c->begin == c->end || b->end - c->begin > c->target) c->begin = b->begin;
    c->end = b->end;
    const int level = b->level >= 1 && b->level <= N_LEVELS ? b->level : N_LEVELS;
    for (int i = level; i < N_LEVELS; i++) c->path[i] = NULL;
    c->path[level - 1] = b;
    return true;
}

bool chunk_doc(const struct doc *d, size_t target_bytes, struct chunks *out, struct err *err)
{
    assert(target_bytes >= 64 && target_bytes <= 65536);
    struct cutter c = {
        .d = d, .target = target_bytes, .most = 2 * target_bytes, .out = out, .err = err};
    *out = (struct chunks){0};
    bool ok = true;
    for (size_t i = 0; ok && i < d->n_blocks; i++)
        ok = d->block[i].kind == DOC_HEADING ? add_heading(&c, &d->block[i])
                                             : add_block(&c, &d->block[i]);
    ok = ok && flush(&c);
    if (!ok) chunks_release(out);
    return ok;
}

void chunks_release(struct chunks *c)
{
    for (size_t i = 0; i < c->n; i++) free(c->chunk[i].heading);
    free(c->chunk);
    *c = (struct chunks){0};
}
