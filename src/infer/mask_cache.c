/* SPDX-License-Identifier: Apache-2.0
 *
 * mask_cache.c - which grammars' masks an engine remembers.
 *
 * Requests of one grammar share what is worked out for it, also when they come one after the other
 * or compiled it each for itself: equal automata are found by comparing them. The tree of tokens is
 * made with the first request that has a grammar. Masks that nobody uses are kept, the least
 * recently used go first, at most MAX_IDLE of them and MAX_IDLE_BYTES.
 */
#include "infer/engine_parts.h"

#include <stdlib.h>

enum { MAX_IDLE = 16, MAX_IDLE_BYTES = 256 << 20 };

struct shared_masks {
    struct token_masks *masks;
    struct shared_masks *next; /* the more recently used first */
    int32_t n_users;
};

static struct shared_masks *take_out(struct engine *e, const struct grammar *g)
{
    for (struct shared_masks **p = &e->shared_masks; *p; p = &(*p)->next) {
        struct shared_masks *m = *p;
        if (!grammar_equal(token_masks_grammar(m->masks), g)) continue;
        *p = m->next;
        return m;
    }
    return NULL;
}

struct shared_masks *masks_open(struct engine *e, struct grammar *g, struct err *err)
{
    if (!e->trie) e->trie = token_trie_new(e->tokenizer, e->n_vocab, err);
    if (!e->trie) return NULL;
    struct shared_masks *m = take_out(e, g);
    if (!m) {
        m = calloc(1, sizeof *m);
        if (!m) {
            err_set(err, ERR_MEMORY, "no memory for the grammar's masks");
            return NULL;
        }
        m->masks = token_masks_new(g, e->trie, err);
        if (!m->masks) {
            free(m);
            return NULL;
        }
    }
    m->n_users++;
    m->next = e->shared_masks;
    e->shared_masks = m;
    return m;
}

struct token_masks *masks_of(const struct shared_masks *m) { return m->masks; }

void masks_close(struct engine *e, struct shared_masks *m)
{
    if (!m) return;
    m->n_users--;
    size_t n_idle = 0, n_bytes = 0;
    for (struct shared_masks **p = &e->shared_masks; *p;) {
        struct shared_masks *x = *p;
        if (x->n_users == 0) {
            n_bytes += token_masks_bytes(x->masks);
            if (++n_idle > MAX_IDLE || n_bytes > MAX_IDLE_BYTES) {
                *p = x->next;
                token_masks_free(x->masks);
                free(x);
                continue;
            }
        }
        p = &x->next;
    }
}

void masks_release(struct engine *e)
{
    while (e->shared_masks) {
        struct shared_masks *m = e->shared_masks;
        e->shared_masks = m->next;
        token_masks_free(m->masks);
        free(m);
    }
    token_trie_free(e->trie);
}
