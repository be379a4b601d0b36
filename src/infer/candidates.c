/* SPDX-License-Identifier: Apache-2.0
 *
 * candidates.c - selecting and sorting among 128,000 tokens without paying for all of them.
 *
 * Most requests keep 40 tokens of the vocabulary, so the common way (candidates_fill_top) looks at
 * each logit once, against the k-th best so far. A step that cannot know how many tokens it needs
 * (top-p without top-k) sorts the front in growing pieces. Everything is linear in the vocabulary,
 * whatever the values: selection is by radix (three histograms of 11 bits over the float's bits in
 * an order-preserving form), sorting is LSD radix over the same three digits, or insertion when
 * there are few. Quickselect and heaps were not taken: the first has bad inputs, the second costs
 * a logarithm where top-k is large; and libc's qsort may allocate.
 *
 * Begin reading at candidates_fill_top() and candidates_sort_front().
 */
#include "infer/candidates.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum {
    DIGIT_BITS = 11,
    N_DIGITS = 3,
    N_BUCKETS = 1 << DIGIT_BITS,
    FEW = 48, /* below this insertion sort wins over clearing three histograms */
};

bool candidates_init(struct candidates *c, int32_t n_vocab, struct err *err)
{
    assert(n_vocab >= 1);
    const size_t n = (size_t)n_vocab;
    size_t n_bytes = 0;
    void *memory = NULL;
    if (size_mul(n, 3 * sizeof(struct candidate) + sizeof(float) + sizeof(int32_t), &n_bytes))
        memory = calloc(1, n_bytes);
    if (!memory)
        return err_set(err, ERR_MEMORY, "no memory to sample from %d tokens", (int)n_vocab);
    struct candidate *item = memory;
    float *logits = (float *)(item + 3 * n);
    *c = (struct candidates){.item = item,
                             .spare = item + n,
                             .scratch = item + 2 * n,
                             .logits = logits,
                             .count = (int32_t *)(logits + n),
                             .n_vocab = n_vocab,
                             .memory = memory};
    return true;
}

void candidates_release(struct candidates *c)
{
    free(c->memory);
    *c = (struct candidates){0};
}

/* Bits whose unsigned order is the float's falling order. */
static uint32_t falling_key(float x)
{
    uint32_t bits = 0;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

static uint32_t digit(uint32_t key, int i) { return key >> (i * DIGIT_BITS) & (N_BUCKETS - 1); }

static void insertion_sort(struct candidate *item, int32_t n)
{
    for (int32_t i = 1; i < n; i++) {
        const struct candidate x = item[i];
        int32_t j = i;
        for (; j > 0 && item[j - 1].logit < x.logit; j--) item[j] = item[j - 1];
        item[j] = x;
    }
}

/* One stable pass over digit i. */
static void radix_pass(const struct candidate *from, struct candidate *to, int32_t n, int i)
{
    int32_t start[N_BUCKETS] = {0};
    for (int32_t j = 0; j < n; j++) start[digit(falling_key(from[j].logit), i)]++;
    int32_t sum = 0;
    for (int b = 0; b < N_BUCKETS; b++) {
        const int32_t n_here = start[b];
        start[b] = sum;
        sum += n_here;
    }
    for (int32_t j = 0; j < n; j++) to[start[digit(falling_key(from[j].logit), i)]++] = from[j];
}

void candidates_sort(struct candidate *item, struct candidate *other, int32_t n)
{
    if (n < FEW) {
        insertion_sort(item, n);
        return;
    }
    struct candidate *from = item, *to = other;
    for (int i = 0; i < N_DIGITS; i++) {
        radix_pass(from, to, n, i);
        struct candidate *swap = from;
        from = to, to = swap;
    }
    /* three passes end in `other` */
    memcpy(item, other, (size_t)n * sizeof *item);
}

/* The falling key of the k-th greatest of item[0..n), and how many of those with exactly that key
 * belong to the first k. */
static uint32_t kth_key(const struct candidate *item, int32_t n, int32_t k, int32_t *n_equal)
{
    uint32_t prefix = 0;
    for (int i = N_DIGITS - 1; i >= 0; i--) {
        int32_t n_in[N_BUCKETS] = {0};
        const int shift = (i + 1) * DIGIT_BITS;
        for (int32_t j = 0; j < n; j++) {
            const uint32_t key = falling_key(item[j].logit);
            if ((uint64_t)key >> shift == (uint64_t)prefix >> shift) n_in[digit(key, i)]++;
        }
        uint32_t b = 0;
        for (; n_in[b] < k; b++) k -= n_in[b];
        prefix |= b << (i * DIGIT_BITS);
    }
    *n_equal = k;
    return prefix;
}

/* Moves the k greatest of the unsorted part to its front, both parts staying in order of id. */
static void select_front(struct candidates *c, int32_t k)
{
    struct candidate *rest = c->item + c->n_sorted;
    const int32_t n = c->n - c->n_sorted;
    int32_t n_equal = 0, n_front = 0, n_back = 0;
    const uint32_t kth = kth_key(rest, n, k, &n_equal);
    for (int32_t j = 0; j < n; j++) {
        const uint32_t key = falling_key(rest[j].logit);
        const bool is_front = key < kth || (key == kth && n_equal-- > 0);
        if (is_front)
            rest[n_front++] = rest[j]; /* never ahead of j */
        else
            c->spare[n_back++] = rest[j];
    }
    assert(n_front == k);
    memcpy(rest + n_front, c->spare, (size_t)n_back * sizeof *rest);
}

void candidates_sort_front(struct candidates *c, int32_t k)
{
    if (k > c->n) k = c->n;
    const int32_t n_more = k - c->n_sorted;
    if (n_more <= 0) return;
    if (k < c->n) select_front(c, n_more);
    candidates_sort(c->item + c->n_sorted, c->spare, n_more);
    c->n_sorted = k;
}

/* The only token left when all are banned: somebody must be drawn. */
static void fill_last_resort(struct candidates *c)
{
    c->item[0] = (struct candidate){0};
    c->n = c->n_sorted = 1;
}

/* Adding zero makes -0 a +0, which have one value but two keys. */
static float as_finite(float logit) { return logit > FLT_MAX ? FLT_MAX : logit + 0.0f; }

void candidates_fill(struct candidates *c, const float *logits)
{
    int32_t n = 0;
    for (int32_t id = 0; id < c->n_vocab; id++)
        if (logits[id] > -INFINITY) /* false for NaN too */
            c->item[n++] = (struct candidate){.logit = as_finite(logits[id]), .id = id};
    c->n = n;
    c->n_sorted = 0;
    if (n == 0) fill_last_resort(c);
}

/* Keeps the k best of the n gathered so far and returns the k-th logit: what a later token must
 * exceed. Sorting is stable and ids have been appended in rising order, so ties stay right. */
static float keep_best(struct candidates *c, int32_t n, int32_t k)
{
    candidates_sort(c->item, c->spare, n);
    return c->item[k - 1].logit;
}

void candidates_fill_top(struct candidates *c, const float *logits, int32_t k)
{
    assert(k >= 1);
    if (k > c->n_vocab / 2 || c->n_vocab < 256) {
        candidates_fill(c, logits);
        candidates_sort_front(c, k);
        if (k < c->n) candidates_keep(c, k);
        return;
    }
    const int32_t n_room = k < 128 ? 256 : 2 * k;
    float bound = -INFINITY;
    int32_t n = 0;
    for (int32_t id = 0; id < c->n_vocab; id++) {
        if (!(logits[id] > bound)) continue;
        c->item[n++] = (struct candidate){.logit = as_finite(logits[id]), .id = id};
        if (n < n_room) continue;
        bound = keep_best(c, n, k);
        n = k;
    }
    c->n = c->n_sorted = n;
    if (n == 0)
        fill_last_resort(c);
    else
        candidates_sort(c->item, c->spare, n);
    if (n > k) candidates_keep(c, k);
}

void candidates_keep(struct candidates *c, int32_t n)
{
    assert(n >= 1 && n <= c->n_sorted);
    c->n = c->n_sorted = n;
}

void candidates_softmax(struct candidates *c)
{
    float max = c->item[0].logit;
    if (c->n_sorted == 0)
        for (int32_t i = 1; i < c->n; i++)
            if (c->item[i].logit > max) max = c->item[i].logit;
    double sum = 0;
    for (int32_t i = 0; i < c->n; i++) {
        c->item[i].p = expf(c->item[i].logit - max);
        sum += (double)c->item[i].p;
    }
    const float scale = (float)(1.0 / sum);
    for (int32_t i = 0; i < c->n; i++) c->item[i].p *= scale;
}
