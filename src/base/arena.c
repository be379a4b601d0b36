/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c - blocks cut one after the other from chunks, freed all at once.
 *
 * A chunk is one malloc; blocks are cut from the newest chunk until one does not fit, then a new
 * chunk of at least twice the size is made. A reset that finds several chunks frees them and
 * remembers their sum: the next block then gets one chunk which holds a whole step. So a step
 * that repeats settles on one chunk after its second run and calls malloc no more, and a step
 * whose sizes vary holds about its largest run, never the sum of all shapes it has seen (which a
 * free list of chunks came to).
 *
 * Invariants
 *   I1  blocks begin at multiples of 64 from a 64-byte aligned base; they are zeroed when given.
 *   I2  used_bytes is the sum of the given blocks, each rounded up to 64, and <= max_bytes.
 *   I3  only the head of the chunk list has room that will be given.
 *
 * Under AddressSanitizer the bytes that are not part of a block are poisoned, with a gap after
 * each block, so that an overrun is found as it would be with malloc.
 *
 * Begin reading at arena_array().
 */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif
#ifndef ARENA_ASAN
#define ARENA_ASAN 0
#endif
#if ARENA_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define ALIGN ((size_t)64)
#define FIRST_CHUNK_BYTES ((size_t)64 << 10)

struct chunk {
    struct chunk *next;
    char *base; /* 64-byte aligned, inside this malloc */
    size_t cap_bytes;
    size_t at; /* bytes given */
};

struct arena {
    struct chunk *head;
    size_t max_bytes;
    size_t used_bytes;
    size_t next_chunk_bytes;
};

static void poison(const struct chunk *c)
{
#if ARENA_ASAN
    __asan_poison_memory_region(c->base, c->cap_bytes);
#else
    (void)c;
#endif
}

static void unpoison(const void *p, size_t n_bytes)
{
#if ARENA_ASAN
    __asan_unpoison_memory_region(p, n_bytes);
#else
    (void)p;
    (void)n_bytes;
#endif
}

static bool round_up(size_t n, size_t *out)
{
    if (!size_add(n, ALIGN - 1, &n)) return false;
    *out = n & ~(ALIGN - 1);
    return true;
}

static struct chunk *chunk_new(size_t cap_bytes)
{
    size_t n_bytes = 0;
    if (!size_add(cap_bytes, sizeof(struct chunk) + ALIGN, &n_bytes)) return NULL;
    struct chunk *c = malloc(n_bytes);
    if (!c) return NULL;
    const uintptr_t after = (uintptr_t)(c + 1);
    const uintptr_t pad = (ALIGN - after % ALIGN) % ALIGN;
    *c = (struct chunk){.base = (char *)(c + 1) + pad, .cap_bytes = cap_bytes};
    poison(c);
    return c;
}

static void chunks_free(struct arena *a)
{
    while (a->head) {
        struct chunk *next = a->head->next;
        unpoison(a->head->base, a->head->cap_bytes);
        free(a->head);
        a->head = next;
    }
}

/* A chunk with `n_bytes` of room at the head of the list. Never larger than the ceiling leaves,
 * so that a small ceiling costs a small chunk. */
static bool chunk_for(struct arena *a, size_t n_bytes)
{
    if (a->head && a->head->cap_bytes - a->head->at >= n_bytes) return true;
    const size_t left = a->max_bytes - a->used_bytes;
    size_t cap = a->next_chunk_bytes < left ? a->next_chunk_bytes : left & ~(ALIGN - 1);
    if (cap < n_bytes) cap = n_bytes;
    struct chunk *c = chunk_new(cap);
    if (!c && cap > n_bytes) c = chunk_new(cap = n_bytes); /* memory is short: only what is asked */
    if (!c) return false;
    c->next = a->head;
    a->head = c;
    if (!size_mul(cap, 2, &a->next_chunk_bytes)) a->next_chunk_bytes = cap;
    return true;
}

struct arena *arena_new(size_t max_bytes, struct err *err)
{
    struct arena *a = malloc(sizeof *a);
    if (!a) {
        err_set(err, ERR_MEMORY, "arena: no memory for %zu bytes; free memory", sizeof *a);
        return NULL;
    }
    *a = (struct arena){.max_bytes = max_bytes, .next_chunk_bytes = FIRST_CHUNK_BYTES};
    return a;
}

void arena_free(struct arena *a)
{
    if (!a) return;
    chunks_free(a);
    free(a);
}

void arena_reset(struct arena *a)
{
    a->used_bytes = 0;
    if (!a->head) return;
    if (!a->head->next) {
        a->head->at = 0;
        poison(a->head);
        return;
    }
    size_t held = 0;
    for (const struct chunk *c = a->head; c; c = c->next) held += c->cap_bytes;
    chunks_free(a);
    a->next_chunk_bytes = held;
}

void *arena_array(struct arena *a, size_t n, size_t elem_bytes, struct err *err)
{
    size_t n_bytes = 0, n_round = 0, n_used = 0;
    if (!size_mul(n, elem_bytes, &n_bytes) || !round_up(n_bytes ? n_bytes : 1, &n_round) ||
        !size_add(a->used_bytes, n_round, &n_used) || n_used > a->max_bytes) {
        err_set(err, ERR_MEMORY,
                "%zu elements of %zu bytes do not fit: %zu of at most %zu bytes are in use", n,
                elem_bytes, a->used_bytes, a->max_bytes);
        return NULL;
    }
    const size_t n_gap = ARENA_ASAN ? ALIGN : 0;
    if (n_round > SIZE_MAX - n_gap || !chunk_for(a, n_round + n_gap)) {
        err_set(err, ERR_MEMORY, "no memory for %zu bytes; free memory or use a smaller context",
                n_round);
        return NULL;
    }
    char *p = a->head->base + a->head->at;
    a->head->at += n_round + n_gap;
    a->used_bytes = n_used;
    unpoison(p, n_bytes);
    if (n_bytes) memset(p, 0, n_bytes);
    return p;
}

char *arena_copy(struct arena *a, const void *data, size_t n_bytes, struct err *err)
{
    size_t n_with_nul = 0;
    if (!size_add(n_bytes, 1, &n_with_nul)) n_with_nul = SIZE_MAX; /* refused as too large */
    char *p = arena_array(a, n_with_nul, 1, err);
    if (p && n_bytes) memcpy(p, data, n_bytes);
    return p;
}

size_t arena_used(const struct arena *a) { return a->used_bytes; }
