/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_torch_file.c - any bytes as a .pth file. An input that does not begin as a ZIP is taken as
 * the pickle alone, and gets an archive with three storages around it: mutations of it then reach
 * the machine instead of breaking the archive.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/torch_file.h"
#include "fuzz.h"

static void check(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct torch_file *f = torch_file_open_memory(data, n_bytes, "fuzz.pth", &err);
    assert((f == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    for (size_t i = 0; f && i < torch_file_n(f); i++) {
        const struct torch_tensor *x = torch_file_at(f, i);
        assert(torch_file_find(f, x->name) == x);
        fuzz_touch(x->t.data, tensor_bytes(&x->t));
    }
    torch_file_close(f);
}

/* ---- a ZIP of stored members ---- */

struct archive {
    uint8_t *data; /* members, then the directory */
    size_t n_bytes;
    uint8_t dir[1024];
    size_t n_dir;
    unsigned n_members;
};

static void put(uint8_t *to, size_t *n, uint64_t value, size_t n_bytes)
{
    memcpy(to + *n, &value, n_bytes);
    *n += n_bytes;
}

static void add_member(struct archive *a, const char *name, const void *data, size_t n_bytes)
{
    const size_t at = a->n_bytes, n_name = strlen(name);
    put(a->data, &a->n_bytes, 0x04034b50, 4);
    for (int i = 0; i < 7; i++) put(a->data, &a->n_bytes, 0, 2);
    put(a->data, &a->n_bytes, n_bytes, 4);
    put(a->data, &a->n_bytes, n_bytes, 4);
    put(a->data, &a->n_bytes, n_name, 2);
    const size_t n_pad = -(a->n_bytes + 2 + n_name) & 7;
    put(a->data, &a->n_bytes, n_pad, 2);
    memcpy(a->data + a->n_bytes, name, n_name);
    a->n_bytes += n_name + n_pad;
    if (n_bytes) memcpy(a->data + a->n_bytes, data, n_bytes);
    a->n_bytes += n_bytes;

    put(a->dir, &a->n_dir, 0x02014b50, 4);
    for (int i = 0; i < 8; i++) put(a->dir, &a->n_dir, 0, 2);
    put(a->dir, &a->n_dir, n_bytes, 4);
    put(a->dir, &a->n_dir, n_bytes, 4);
    put(a->dir, &a->n_dir, n_name, 2);
    for (int i = 0; i < 6; i++) put(a->dir, &a->n_dir, 0, 2);
    put(a->dir, &a->n_dir, at, 4);
    memcpy(a->dir + a->n_dir, name, n_name);
    a->n_dir += n_name;
    a->n_members++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const uint8_t zeros[48] = {0};
    if (n_bytes >= 2 && memcmp(data, "PK", 2) == 0) {
        check(data, n_bytes);
        return 0;
    }
    struct archive a = {.data = calloc(1, n_bytes + 4096)};
    if (!a.data) return 0;
    add_member(&a, "a/data/0", zeros, 48);
    add_member(&a, "a/data/1", zeros, 32);
    add_member(&a, "a/data/2", zeros, 40);
    add_member(&a, "a/data.pkl", data, n_bytes);
    const size_t at = a.n_bytes;
    memcpy(a.data + at, a.dir, a.n_dir);
    a.n_bytes += a.n_dir;
    put(a.data, &a.n_bytes, 0x06054b50, 4);
    put(a.data, &a.n_bytes, 0, 4);
    put(a.data, &a.n_bytes, a.n_members, 2);
    put(a.data, &a.n_bytes, a.n_members, 2);
    put(a.data, &a.n_bytes, a.n_dir, 4);
    put(a.data, &a.n_bytes, at, 4);
    put(a.data, &a.n_bytes, 0, 2);
    check(a.data, a.n_bytes);
    free(a.data);
    return 0;
}
