/* SPDX-License-Identifier: Apache-2.0
 *
 * name_index.c - names sorted once, then found by halving.
 *
 * 65,536 names cost some 16 comparisons each, to sort and to find; a model has a few hundred. A
 * hash would save nothing that can be measured at load time and would need a secret seed to be
 * safe from names made to collide.
 */
#include "formats/name_index.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const char *name;
    size_t row;
};

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

bool name_index_make(struct name_index *x, struct arena *a, const void *rows, size_t row_bytes,
                     size_t n, const char **duplicate, struct err *err)
{
    struct entry *e = arena_array(a, n, sizeof *e, err);
    const char **name = e ? arena_array(a, n, sizeof *name, err) : NULL;
    size_t *row = name ? arena_array(a, n, sizeof *row, err) : NULL;
    if (!row) return false;

    for (size_t i = 0; i < n; i++) {
        memcpy(&e[i].name, (const char *)rows + i * row_bytes, sizeof e[i].name);
        e[i].row = i;
    }
    if (n > 1) qsort(e, n, sizeof *e, by_name);
    *duplicate = NULL;
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(e[i].name, e[i - 1].name) == 0) *duplicate = e[i].name;
        name[i] = e[i].name;
        row[i] = e[i].row;
    }
    *x = (struct name_index){.name = name, .row = row, .n = n};
    return true;
}

size_t name_index_find(const struct name_index *x, const char *name)
{
    size_t begin = 0, end = x->n;
    while (begin < end) {
        const size_t mid = begin + (end - begin) / 2;
        const int order = strcmp(name, x->name[mid]);
        if (order == 0) return x->row[mid];
        if (order < 0)
            end = mid;
        else
            begin = mid + 1;
    }
    return SIZE_MAX;
}
