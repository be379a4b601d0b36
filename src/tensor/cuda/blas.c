/* SPDX-License-Identifier: Apache-2.0
 *
 * blas.c - products of plain matrices by cuBLASLt, each shape's way chosen once.
 *
 * cuBLASLt's heuristic costs tens of microseconds a call, so its choice is kept by shape. cuBLASLt
 * counts columns first: y = x w^T, rows first, is y^T = w x^T there, w transposed.
 */
#include <pthread.h>
#include <string.h>

#include "tensor/cuda/device.h"

enum { MAX_CHOICES = 512 };

struct choice {
    int64_t shape[7];
    void *product, *w, *x, *y;
    struct lt_choice how;
};

static struct {
    pthread_mutex_t lock;
    bool is_tried, is_there;
    struct blas blas;
    void *handle;
    int n_choices;
    struct choice choice[MAX_CHOICES];
} lt = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool device_has_products(void)
{
    pthread_mutex_lock(&lt.lock);
    if (!lt.is_tried) {
        lt.is_tried = true;
        lt.is_there = blas_load(&lt.blas) && lt.blas.create(&lt.handle) == 0;
    }
    pthread_mutex_unlock(&lt.lock);
    return lt.is_there;
}

static void choice_free(struct choice *c)
{
    if (c->product) lt.blas.product_destroy(c->product);
    if (c->w) lt.blas.layout_destroy(c->w);
    if (c->x) lt.blas.layout_destroy(c->x);
    if (c->y) lt.blas.layout_destroy(c->y);
}

static bool choice_make(struct choice *c, const struct product *p)
{
    const int transpose = 1;
    const size_t n_bytes = PRODUCT_WORKSPACE;
    void *preference = NULL;
    int n_found = 0;
    bool ok =
        !lt.blas.product_create(&c->product, LT_IN_FLOAT, LT_FLOAT) &&
        !lt.blas.product_set(c->product, LT_TRANSPOSE_A, &transpose, sizeof transpose) &&
        !lt.blas.layout_create(&c->w, p->type, (uint64_t)p->k, (uint64_t)p->n_rows, p->ld_w) &&
        !lt.blas.layout_create(&c->x, p->type, (uint64_t)p->k, (uint64_t)p->n_tok, p->ld_x) &&
        !lt.blas.layout_create(&c->y, LT_FLOAT, (uint64_t)p->n_rows, (uint64_t)p->n_tok, p->ld_y) &&
        !lt.blas.preference_create(&preference) &&
        !lt.blas.preference_set(preference, LT_MAX_WORKSPACE, &n_bytes, sizeof n_bytes) &&
        !lt.blas.choose(lt.handle, c->product, c->w, c->x, c->y, c->y, preference, 1, &c->how,
                        &n_found);
    if (preference) lt.blas.preference_destroy(preference);
    ok = ok && n_found > 0;
    if (!ok) choice_free(c);
    return ok;
}

/* The kept choice, or a new one; when the list is full, its oldest makes way. */
static bool choice_of(struct choice *out, const struct product *p)
{
    struct choice c = {.shape = {p->type, p->n_tok, p->n_rows, p->k, p->ld_x, p->ld_w, p->ld_y}};
    int i = 0;
    while (i < lt.n_choices && memcmp(lt.choice[i].shape, c.shape, sizeof c.shape) != 0) i++;
    if (i == lt.n_choices) {
        if (!choice_make(&c, p)) return false;
        if (lt.n_choices == MAX_CHOICES) {
            choice_free(&lt.choice[0]);
            memmove(lt.choice, lt.choice + 1, (MAX_CHOICES - 1) * sizeof *lt.choice);
            i = --lt.n_choices;
        }
        lt.choice[lt.n_choices++] = c;
    }
    *out = lt.choice[i];
    return true;
}

bool device_multiply(const struct product *p)
{
    const float one = 1.0f, beta = p->is_added ? 1.0f : 0.0f;
    struct choice c;
    if (!device_has_products()) return false;
    pthread_mutex_lock(&lt.lock); /* also over the call: another thread may drop the choice */
    const bool ok =
        choice_of(&c, p) &&
        lt.blas.multiply(lt.handle, c.product, &one, p->w, c.w, p->x, c.x, &beta, p->y, c.y, p->y,
                         c.y, c.how.algorithm, p->workspace, PRODUCT_WORKSPACE, CU_STREAM) == 0;
    pthread_mutex_unlock(&lt.lock);
    return ok;
}
