/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c - a row by its name, and what the user probably meant.
 *
 * Tables here have tens of rows, so both searches walk them. The distance is Damerau's in its
 * restricted form (optimal string alignment: a swapped pair is not edited again), over bytes, in
 * three rows of the matrix on the stack; names longer than 100 bytes are either equal or far.
 */
#include "base/table.h"

#include <assert.h>
#include <string.h>

enum { MAX_DISTANCE = 100 };

static const char *row_name(const char *rows, size_t row_bytes, size_t i)
{
    const char *name = NULL;
    memcpy(&name, rows + i * row_bytes, sizeof name); /* the first member, whatever the struct */
    return name;
}

static const char *ptr_name(const void *const *rows, size_t i)
{
    return rows[i] ? row_name(rows[i], 0, 0) : NULL;
}

static int min3(int a, int b, int c)
{
    const int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static void lower_copy(char to[MAX_DISTANCE + 1], const char *from)
{
    size_t n = 0;
    for (; from[n] && n < MAX_DISTANCE; n++) to[n] = lower(from[n]);
    to[n] = 0;
}

/* The better of the best so far and `name`, by distance to `wanted` without regard to case.
 * A name may differ in a third of the wanted letters, at least in one. */
static const char *nearer(const char *best, int *best_distance, const char *name,
                          const char *wanted)
{
    char a[MAX_DISTANCE + 1], b[MAX_DISTANCE + 1];
    lower_copy(a, name);
    lower_copy(b, wanted);
    const int n_letters = (int)strlen(b);
    const int n_allowed = n_letters / 3 > 1 ? n_letters / 3 : 1;
    const int d = str_distance(a, b);
    if (n_letters == 0 || d > n_allowed || d >= *best_distance) return best;
    *best_distance = d;
    return name;
}

const void *table_find(const void *rows, size_t row_bytes, const char *name)
{
    assert(row_bytes >= sizeof(const char *));
    for (size_t i = 0; row_name(rows, row_bytes, i); i++)
        if (strcmp(row_name(rows, row_bytes, i), name) == 0)
            return (const char *)rows + i * row_bytes;
    return NULL;
}

const void *table_find_ptr(const void *const *rows, const char *name)
{
    for (size_t i = 0; rows[i]; i++)
        if (strcmp(ptr_name(rows, i), name) == 0) return rows[i];
    return NULL;
}

const char *table_nearest(const void *rows, size_t row_bytes, const char *name)
{
    const char *best = NULL;
    int best_distance = MAX_DISTANCE;
    for (size_t i = 0; row_name(rows, row_bytes, i); i++)
        best = nearer(best, &best_distance, row_name(rows, row_bytes, i), name);
    return best;
}

const char *table_nearest_ptr(const void *const *rows, const char *name)
{
    const char *best = NULL;
    int best_distance = MAX_DISTANCE;
    for (size_t i = 0; rows[i]; i++) best = nearer(best, &best_distance, ptr_name(rows, i), name);
    return best;
}

int str_distance(const char *a, const char *b)
{
    const size_t n_a = strnlen(a, MAX_DISTANCE + 1), n_b = strnlen(b, MAX_DISTANCE + 1);
    if (n_a > MAX_DISTANCE || n_b > MAX_DISTANCE) return strcmp(a, b) == 0 ? 0 : MAX_DISTANCE;

    int rows[3][MAX_DISTANCE + 1]; /* of prefixes of a: two back, one back, now */
    int *back2 = rows[0], *back = rows[1], *now = rows[2];
    for (size_t j = 0; j <= n_b; j++) back[j] = (int)j;
    for (size_t i = 1; i <= n_a; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= n_b; j++) {
            const int cost = a[i - 1] != b[j - 1];
            now[j] = min3(back[j] + 1, now[j - 1] + 1, back[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = min3(now[j], back2[j - 2] + 1, MAX_DISTANCE);
        }
        int *oldest = back2;
        back2 = back, back = now, now = oldest;
    }
    return back[n_b];
}
