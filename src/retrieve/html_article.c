/* SPDX-License-Identifier: Apache-2.0
 *
 * html_article.c - which blocks of a page are what a reader came for.
 *
 * Each paragraph gives its container a score by its length and commas, and half of it to the
 * element around that (the idea of Readability). What tags and names say is added, and links take
 * away: a list of links is navigation however long it is. The element with the highest score is the
 * article; its neighbours join it if they score too. In it, what is boilerplate by name or made of
 * links goes. A page without a clear article (a table, a list, documentation in odd markup) is kept
 * whole, without its boilerplate.
 */
#include <string.h>

#include "retrieve/html_blocks.h"

enum { MIN_PARAGRAPH = 25, MIN_ARTICLE = 250 };

static float link_share(uint32_t n_link, uint32_t n_text)
{
    return n_text ? (float)n_link / (float)n_text : 0;
}

static size_t n_bytes(const struct html_block *b) { return b->end - b->begin; }

/* Names lie ("has-sidebar" on body): what holds a good part of the page's words is no boilerplate.
 * Then what is inside of boilerplate is so too. */
static void settle_boilerplate(struct html_page *p)
{
    const uint32_t all = p->node[0].n_text - p->node[0].n_link;
    for (int32_t i = 1; i < p->n_nodes; i++) {
        struct html_node *n = &p->node[i];
        if ((float)(n->n_text - n->n_link) > 0.4f * (float)all && (n->flags & HTML_BOILERPLATE)) {
            n->flags &= ~(unsigned)HTML_BOILERPLATE;
            n->weight = 0;
        }
        n->flags |= p->node[n->parent].flags & HTML_BOILERPLATE;
    }
}

static void score_nodes(struct html_page *p)
{
    for (size_t i = 0; i < p->n_blocks; i++) {
        const struct html_block *b = &p->block[i];
        if (n_bytes(b) < MIN_PARAGRAPH || b->kind == DOC_HEADING) continue;
        if (p->node[b->node].flags & HTML_BOILERPLATE) continue;
        if (link_share(b->n_link, (uint32_t)n_bytes(b)) > 0.5f) continue;
        const float long_part = (float)n_bytes(b) / 100;
        const float score = 1 + (float)b->n_commas + (long_part < 5 ? long_part : 5);
        int32_t at = b->is_paragraph ? p->node[b->node].parent : b->node;
        for (int level = 1; level <= 3; level++) {
            p->node[at].score += score / (float)level;
            if (at == 0) break;
            at = p->node[at].parent;
        }
    }
    for (int32_t i = 0; i < p->n_nodes; i++) {
        struct html_node *n = &p->node[i];
        if (n->score > 0)
            n->score = (n->score + n->weight) * (1 - link_share(n->n_link, n->n_text));
    }
}

static bool is_inside(const struct html_page *p, int32_t node, int32_t of)
{
    while (node > of) node = p->node[node].parent;
    return node == of;
}

/* The whole article may be cut into sections: then their common parent is taken. */
static int32_t best_node(const struct html_page *p)
{
    int32_t best = 0;
    for (int32_t i = 1; i < p->n_nodes; i++)
        if (p->node[i].score > p->node[best].score) best = i;
    if (best == 0) return 0;
    const float enough = p->node[best].score * 0.4f;
    const int32_t parent = p->node[best].parent;
    int n_good = 0;
    for (int32_t i = 1; i < p->n_nodes; i++)
        n_good += p->node[i].parent == parent && p->node[i].score >= enough;
    return n_good >= 3 ? parent : best;
}

static bool joins(const struct html_page *p, int32_t node, int32_t best)
{
    const struct html_node *n = &p->node[node];
    if (n->flags & HTML_BOILERPLATE) return false;
    const float enough = p->node[best].score * 0.2f;
    return n->score >= (enough > 10 ? enough : 10);
}

/* The child of `top` that `node` is in, or -1. */
static int32_t branch(const struct html_page *p, int32_t node, int32_t top)
{
    while (node > top && p->node[node].parent != top) node = p->node[node].parent;
    return node > top ? node : -1;
}

static bool is_noise(const struct html_page *p, const struct html_block *b)
{
    const uint32_t n = (uint32_t)n_bytes(b);
    if (p->node[b->node].flags & HTML_BOILERPLATE) return true;
    return link_share(b->n_link, n) > 0.6f;
}

void html_choose(struct html_page *p)
{
    settle_boilerplate(p);
    score_nodes(p);
    const int32_t best = best_node(p), parent = p->node[best].parent;
    size_t n_kept = 0;
    for (size_t i = 0; i < p->n_blocks; i++) {
        struct html_block *b = &p->block[i];
        bool is_in = is_inside(p, b->node, best);
        if (!is_in && best > 0) {
            const int32_t side = branch(p, b->node, parent);
            is_in = side > 0 && joins(p, side, best);
        }
        b->is_kept = is_in && !is_noise(p, b);
        if (b->is_kept) n_kept += n_bytes(b);
    }
    if (best > 0 && n_kept >= MIN_ARTICLE) return;
    for (size_t i = 0; i < p->n_blocks; i++) p->block[i].is_kept = !is_noise(p, &p->block[i]);
}
