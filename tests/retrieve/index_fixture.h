/* index_fixture.h - a scratch directory and an index in it, for the tests of store, indexing and
 * search. */
#ifndef CRIA_TESTS_INDEX_FIXTURE_H
#define CRIA_TESTS_INDEX_FIXTURE_H

#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "retrieve/indexing.h"
#include "retrieve/search.h"

static char scratch[64], scratch_db[80];

static inline int make_scratch(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/cria-index-XXXXXX");
    if (!mkdtemp(scratch)) return 1;
    snprintf(scratch_db, sizeof scratch_db, "%s/.index.db", scratch);
    return 0;
}

static inline int remove_scratch(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command) != 0;
}

static inline const char *in_scratch(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static inline void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_scratch(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline struct store *open_scratch(enum store_mode mode)
{
    struct err err = {0};
    struct store *s = store_open(scratch_db, mode, &err);
    assert_ok(s, &err);
    return s;
}

static inline struct index_stats index_scratch(struct store *s)
{
    struct err err = {0};
    struct index_stats stats = {0};
    const struct index_options opt = {.max_file_bytes = 1000000};
    assert_ok(index_root(s, scratch, &opt, &stats, &err), &err);
    return stats;
}

#endif
