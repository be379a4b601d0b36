/* SPDX-License-Identifier: Apache-2.0
 *
 * zip_stored.c - the directory of a ZIP archive without compression.
 *
 * The archive is read from its end, as the format has it (APPNOTE 6.3): the end record, behind
 * which only a comment may stand, names the central directory; a ZIP64 locator right before it
 * names a wider end record. Each entry of the directory is then checked against the local header
 * in front of the data: two truths about one member are how archive readers get fooled. Checksums
 * are not verified: that would read every byte of a model before the first use.
 *
 * Invariants after zip_stored_read() has returned true
 *   I1  data .. data + n_bytes of a member lies in the archive, before the central directory.
 *   I2  members, local header to last byte, are disjoint; names are unique.
 *
 * Begin reading at zip_stored_read().
 */
#include "formats/zip_stored.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/byte_reader.h"

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    MAX_COMMENT_BYTES = 65535,
    MAX_MEMBERS = 1 << 18,
    MAX_NAME_BYTES = 1024,
    ID_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
};

static const uint32_t sig_end = 0x06054b50, sig_locator = 0x07064b50, sig_end64 = 0x06064b50,
                      sig_entry = 0x02014b50, sig_local = 0x04034b50;

static uint16_t u16_at(const uint8_t *p)
{
    uint16_t v = 0;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v = 0;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t v = 0;
    memcpy(&v, p, sizeof v);
    return v;
}

struct directory {
    uint64_t begin, n_bytes, n_members;
};

/* The end record: the last place where one fits whose comment reaches exactly to the end. */
static const uint8_t *find_end(const uint8_t *data, size_t n_bytes)
{
    for (size_t n = END_BYTES; n <= n_bytes && n <= END_BYTES + MAX_COMMENT_BYTES; n++) {
        const uint8_t *p = data + n_bytes - n;
        if (u32_at(p) == sig_end && u16_at(p + 20) == n - END_BYTES) return p;
    }
    return NULL;
}

static bool find_directory(struct byte_reader *r, struct directory *d)
{
    const uint8_t *end = find_end(r->data, r->n_bytes);
    if (!end)
        return err_set(r->err, ERR_FORMAT,
                       "%s: has no ZIP directory at its end; the file is cut short or no .pth file",
                       r->path);
    uint64_t limit = (uint64_t)(end - r->data);
    *d = (struct directory){
        .begin = u32_at(end + 16), .n_bytes = u32_at(end + 12), .n_members = u16_at(end + 10)};
    if (limit >= LOCATOR_BYTES && u32_at(end - LOCATOR_BYTES) == sig_locator) {
        const uint64_t at = u64_at(end - LOCATOR_BYTES + 8);
        limit -= LOCATOR_BYTES;
        if (limit < END64_BYTES || at > limit - END64_BYTES || u32_at(r->data + at) != sig_end64)
            return err_set(r->err, ERR_FORMAT,
                           "%s: byte %" PRIu64 ": the ZIP64 locator names byte %" PRIu64
                           ", where no end record is; fetch the file again",
                           r->path, limit, at);
        const uint8_t *p = r->data + at;
        *d = (struct directory){
            .begin = u64_at(p + 48), .n_bytes = u64_at(p + 40), .n_members = u64_at(p + 32)};
        limit = at;
    }
    if (d->begin > limit || d->n_bytes > limit - d->begin)
        return err_set(r->err, ERR_FORMAT,
                       "%s: the ZIP directory is said to be %" PRIu64 " bytes at %" PRIu64
                       " of %zu; the file is cut short, fetch it again",
                       r->path, d->n_bytes, d->begin, r->n_bytes);
    if (d->n_members > MAX_MEMBERS || d->n_members > d->n_bytes / ENTRY_BYTES)
        return err_set(r->err, ERR_FORMAT,
                       "%s: the ZIP directory is said to have %" PRIu64 " members in %" PRIu64
                       " bytes; fetch the file again",
                       r->path, d->n_members, d->n_bytes);
    return true;
}

struct entry {
    uint64_t n_packed, n_bytes, local;
    const uint8_t *fields;
    const char *name;
    size_t n_name;
};

/* Numbers that did not fit stand in the ZIP64 extra field, in this order, only those. */
static bool widen(struct byte_reader *r, struct entry *e, const uint8_t *extra, size_t n_extra)
{
    uint64_t *const wide[] = {&e->n_bytes, &e->n_packed, &e->local};
    size_t i = 0, n_field = 0;
    const uint8_t *field = NULL;
    for (size_t at = 0; n_extra - at >= 4; at += 4 + n_field) {
        n_field = u16_at(extra + at + 2);
        if (n_field > n_extra - at - 4) break;
        if (u16_at(extra + at) != ID_ZIP64) continue;
        field = extra + at + 4;
        break;
    }
    for (size_t k = 0; k < 3; k++) {
        if (*wide[k] != UINT32_MAX) continue;
        if (!field || n_field < 8 * (i + 1))
            return err_set(r->err, ERR_FORMAT,
                           "%s: byte %zu: %s: its ZIP64 field is missing; fetch the file again",
                           r->path, r->pos, r->place);
        *wide[k] = u64_at(field + 8 * i++);
    }
    return true;
}

static bool read_entry(struct byte_reader *r, struct entry *e)
{
    const uint8_t *p = NULL, *name = NULL, *extra = NULL, *comment = NULL;
    if (!reader_take(r, ENTRY_BYTES, &p)) return false;
    if (u32_at(p) != sig_entry)
        return err_set(r->err, ERR_FORMAT,
                       "%s: byte %zu: %s: no ZIP directory entry is here; fetch the file again",
                       r->path, r->pos - ENTRY_BYTES, r->place);
    const uint16_t n_name = u16_at(p + 28), n_extra = u16_at(p + 30), n_comment = u16_at(p + 32);
    if (!reader_take(r, n_name, &name) || !reader_take(r, n_extra, &extra) ||
        !reader_take(r, n_comment, &comment))
        return false;
    reader_at(r, "member", (const char *)name, n_name);
    if (n_name < 1 || n_name > MAX_NAME_BYTES || memchr(name, 0, n_name))
        return err_set(r->err, ERR_FORMAT,
                       "%s: byte %zu: %s: its name has %u bytes or a zero byte, allowed are 1 to "
                       "%d; fetch the file again",
                       r->path, r->pos, r->place, n_name, MAX_NAME_BYTES);
    *e = (struct entry){.n_packed = u32_at(p + 20),
                        .n_bytes = u32_at(p + 24),
                        .local = u32_at(p + 42),
                        .fields = p,
                        .name = (const char *)name,
                        .n_name = n_name};
    return widen(r, e, extra, n_extra);
}

/* The local header says the same, and the data lie before `limit`. */
static bool check_local(struct byte_reader *r, const struct entry *e, uint64_t limit,
                        struct zip_member *m)
{
    const uint16_t method = u16_at(e->fields + 10);
    if (method != 0 || (u16_at(e->fields + 8) & FLAG_ENCRYPTED))
        return err_set(r->err, ERR_UNSUPPORTED,
                       "%s: %s: is compressed or encrypted (method %u); save it again with "
                       "PyTorch, which stores members as they are",
                       r->path, r->place, method);
    if (e->local > limit || limit - e->local < LOCAL_BYTES + e->n_name)
        return err_set(r->err, ERR_FORMAT,
                       "%s: %s: its header is said to be at byte %" PRIu64
                       ", past the data; fetch the file again",
                       r->path, r->place, e->local);
    const uint8_t *p = r->data + e->local;
    const uint64_t n_front = (uint64_t)LOCAL_BYTES + u16_at(p + 26) + u16_at(p + 28);
    if (u32_at(p) != sig_local || u16_at(p + 8) != 0 || u16_at(p + 26) != e->n_name ||
        memcmp(p + LOCAL_BYTES, e->name, e->n_name) != 0 || e->n_packed != e->n_bytes)
        return err_set(r->err, ERR_FORMAT,
                       "%s: byte %" PRIu64 ": %s: its local header disagrees with the directory; "
                       "do not use this file",
                       r->path, e->local, r->place);
    if (n_front > limit - e->local || e->n_bytes > limit - e->local - n_front)
        return err_set(r->err, ERR_FORMAT,
                       "%s: %s: its %" PRIu64 " bytes run past the data; the file is cut short, "
                       "fetch it again",
                       r->path, r->place, e->n_bytes);
    m->data = p + n_front;
    m->n_bytes = e->n_bytes;
    m->begin = e->local;
    m->end = e->local + n_front + e->n_bytes;
    return true;
}

static int by_begin(const void *a, const void *b)
{
    const struct zip_member *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static bool check_all(struct zip *z, const char *path, struct arena *a, struct err *err)
{
    const char *duplicate = NULL;
    if (z->n_members > 1) qsort(z->member, z->n_members, sizeof *z->member, by_begin);
    for (size_t i = 1; i < z->n_members; i++)
        if (z->member[i].begin < z->member[i - 1].end)
            return err_set(err, ERR_FORMAT,
                           "%s: members %.80s and %.80s overlap; do not use this file", path,
                           z->member[i - 1].name, z->member[i].name);
    if (!name_index_make(&z->names, a, z->member, sizeof *z->member, z->n_members, &duplicate, err))
        return false;
    if (duplicate)
        return err_set(err, ERR_FORMAT, "%s: member %.80s: is there twice; do not use this file",
                       path, duplicate);
    return true;
}

bool zip_stored_read(struct zip *z, const uint8_t *data, size_t n_bytes, const char *path,
                     struct arena *a, struct err *err)
{
    struct byte_reader r = {.path = path, .data = data, .n_bytes = n_bytes, .err = err};
    struct directory d = {0};
    *z = (struct zip){0};
    if (!find_directory(&r, &d)) return false;
    z->member = arena_array(a, (size_t)d.n_members, sizeof *z->member, err);
    if (!z->member) return false;
    r.pos = (size_t)d.begin;
    r.n_bytes = (size_t)(d.begin + d.n_bytes);
    for (uint64_t i = 0; i < d.n_members; i++) {
        struct zip_member *m = &z->member[i];
        struct entry e = {0};
        (void)snprintf(r.place, sizeof r.place, "member %" PRIu64, i + 1);
        if (!read_entry(&r, &e) || !check_local(&r, &e, d.begin, m)) return false;
        m->name = arena_copy(a, e.name, e.n_name, err);
        if (!m->name) return false;
    }
    z->n_members = (size_t)d.n_members;
    return check_all(z, path, a, err);
}

const struct zip_member *zip_find(const struct zip *z, const char *name)
{
    const size_t i = name_index_find(&z->names, name);
    return i == SIZE_MAX ? NULL : &z->member[i];
}
