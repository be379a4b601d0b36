/* zip_stored.h - the members of a ZIP or ZIP64 archive that holds them uncompressed, where they
 * lie.
 *
 * PyTorch writes such archives so that tensors can be mapped. Names are only compared, never used
 * as paths. Private to formats/torch_file.c and its tests' fuzzers.
 */
#ifndef CRIA_FORMATS_ZIP_STORED_H
#define CRIA_FORMATS_ZIP_STORED_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "formats/name_index.h"

struct zip_member {
    const char *name;
    const uint8_t *data;
    uint64_t n_bytes;
    uint64_t begin, end; /* of local header and data, in the archive */
};

struct zip {
    struct zip_member *member;
    size_t n_members;
    struct name_index names;
};

/* Reads the central directory of data[0..n_bytes) and checks each member's local header against it.
 * `data` is kept, tables are the arena's. */
bool zip_stored_read(struct zip *z, const uint8_t *data, size_t n_bytes, const char *path,
                     struct arena *a, struct err *err) CRIA_CHECK;
const struct zip_member *zip_find(const struct zip *z, const char *name); /* or NULL */

#endif
