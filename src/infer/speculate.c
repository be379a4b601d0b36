/* SPDX-License-Identifier: Apache-2.0
 *
 * speculate.c - guessing the next tokens of an answer, so that one step can take several.
 *
 * Reading the weights is what a step costs, and a batch of up to ENGINE_FEW_TOK tokens reads them
 * once. So an answer may put guesses behind its next token. The logits behind each are those the
 * model has if the guesses before it are right; the sampler picks from them in order, and the first
 * pick that is not what was guessed is the last of the step (scheduler.c). Guesses are points, not
 * distributions: to accept x with probability p(x) and else to draw from the rest, the rule of
 * Leviathan et al. 2023, is the same as to draw and look whether it is x. Every pick is made by the
 * answer's own sampler, with its own history and random numbers, from the logits it would have had
 * anyway: the text for a seed is the same, at any temperature, as without guesses. Where a grammar
 * binds the answer, each pick has the mask of its place, and guesses that it forbids are not made.
 *
 * Guesses come from the text itself (lookup.c), where its last words stood before; else from a
 * smaller model (drafter.c), if there is one.
 *
 * How many: three, or as many as allowed where much is alike. Kernels take tokens by 1, 4 and 8, so
 * that two or three guesses cost what one does. A wrong guess costs about as much as a token, so
 * after one the lookup asks for twice the likeness, and after right ones for the least again; the
 * smaller model waits twice as long. Simulated on answers of a 135M model to six prompts at
 * temperatures 0 and 0.8, with steps of 4 and 7 tokens at 1.9 and 2.6 times the cost of one: 1.00
 * to 2.33 times as fast, none slower. Beginning with a likeness of 3 gave 0.99 twice, of 8 it gave
 * away a fifth.
 *
 * Begin reading at guess_all().
 */
#include "infer/engine_parts.h"

#include "infer/drafter.h"

enum {
    N_CAUTIOUS = 3,    /* guesses where little speaks for them */
    SAME_BOLD = 6,     /* likeness from which as many as allowed are guessed */
    MAX_NEED = 32,     /* likeness asked for after many wrong guesses */
    MAX_PATIENCE = 32, /* steps that the smaller model waits after many wrong guesses */
};

bool guess_init(struct engine *e, struct err *err)
{
    for (int32_t i = 0; e->n_draft > 0 && i < e->n_seqs; i++)
        if (!lookup_init(&e->slot[i].guess.lookup, e->n_ctx, err)) return false;
    return true;
}

void guess_release(struct engine *e)
{
    for (int32_t i = 0; e->slot && i < e->n_seqs; i++) lookup_release(&e->slot[i].guess.lookup);
}

void guess_begin(struct guess *g)
{
    *g = (struct guess){.lookup = g->lookup, .n_need = LOOKUP_NGRAM, .n_bold = N_CAUTIOUS};
    lookup_begin(&g->lookup);
}

/* What followed the last tokens where they stood before; where that reaches the text's end the text
 * goes round. */
static void guess_by_lookup(struct answer *a, int32_t n)
{
    struct guess *g = &a->guess;
    const int32_t *ids = a->line.ids, n_ids = a->line.n_ids;
    int32_t n_same = 0;
    const int32_t from = lookup_find(&g->lookup, ids, n_ids, &n_same);
    if (n_same < g->n_need) return;
    if (n_same < SAME_BOLD && n > N_CAUTIOUS) n = N_CAUTIOUS;
    for (g->n = 0; g->n < n; g->n++) {
        const int32_t at = from + g->n;
        g->id[g->n] = at < n_ids ? ids[at] : g->id[at - n_ids];
    }
}

static bool guess_by_model(struct engine *e, int32_t slot, int32_t n, struct err *err)
{
    struct answer *a = &e->slot[slot];
    struct guess *g = &a->guess;
    if (g->n_wait > 0) {
        g->n_wait--;
        return true;
    }
    if (n > g->n_bold) n = g->n_bold;
    if (!drafter_guess(e->drafter, slot, a->line.ids, a->line.n_ids, a->req->sampler[a->i_answer],
                       g->id, n, err))
        return false;
    g->n = n;
    g->is_model = true;
    return true;
}

/* How many tokens beyond the next the answer may still take. */
static int32_t most_guesses(const struct engine *e, const struct answer *a, int32_t n_room)
{
    const int32_t n_predict = a->req->params.n_predict;
    int32_t n = e->n_draft < n_room ? e->n_draft : n_room;
    if (n_predict >= 0 && n > n_predict - a->n_generated - 1) n = n_predict - a->n_generated - 1;
    return n < e->n_ctx - a->line.n_ids ? n : e->n_ctx - a->line.n_ids;
}

bool guess_all(struct engine *e, struct err *err)
{
    int32_t n_ready = 0;
    for (int32_t i = 0; i < e->n_order; i++) {
        const struct answer *a = &e->slot[e->order[i]];
        /* a step that reads a prompt is long, and not by its number of batches */
        if (!a->is_waiting && a->line.n_ids - a->n_fed > 1) return true;
        n_ready += !a->is_waiting;
    }
    int32_t n_room =
        (ENGINE_FEW_TOK < e->max_batch_tok ? ENGINE_FEW_TOK : e->max_batch_tok) - n_ready;
    for (int32_t i = 0; i < e->n_order; i++) {
        struct answer *a = &e->slot[e->order[i]];
        const int32_t n = most_guesses(e, a, n_room);
        if (n <= 0 || a->is_waiting || a->n_generated == 0) continue;
        guess_by_lookup(a, n);
        if (a->guess.n == 0 && e->drafter && !guess_by_model(e, e->order[i], n, err)) return false;
        if (a->req->masks)
            a->guess.n =
                constraint_count_allowed(&a->req->constraint[a->i_answer], a->guess.id, a->guess.n);
        n_room -= a->guess.n;
    }
    return true;
}

static int32_t twice(int32_t n, int32_t most) { return 2 * n < most ? 2 * n : most; }

void guess_learn(struct guess *g, int32_t n_right)
{
    const bool is_right = n_right == g->n, is_wrong = 2 * n_right < g->n;
    if (!g->is_model) {
        if (is_wrong) g->n_need = twice(g->n_need, MAX_NEED);
        if (is_right) g->n_need = LOOKUP_NGRAM;
    } else {
        g->n_bold = is_right ? ENGINE_MAX_DRAFT : N_CAUTIOUS;
        if (is_wrong) g->n_patience = g->n_patience ? twice(g->n_patience, MAX_PATIENCE) : 1;
        if (is_right) g->n_patience = 0;
        g->n_wait = is_wrong ? g->n_patience : 0;
    }
    g->n = 0;
    g->is_model = false;
}
