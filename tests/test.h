/* test.h - what every test file includes: cmocka in its required order, and the way to the data
 * that lies outside the repository. */
#ifndef CRIA_TESTS_TEST_H
#define CRIA_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/err.h"

/* PATH under the shared data folder ($CRIA_DATA, else ../shared/data beside the checkout), or NULL
 * when it is not there; the test then skips and says so. The result is static. */
static inline const char *data_path(const char *name)
{
    static char path[1024];
    const char *dir = getenv("CRIA_DATA");
    snprintf(path, sizeof path, "%s/%s", dir ? dir : CRIA_SOURCE_DIR "/../shared/data", name);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fclose(f);
    return path;
}

/* PATH under tests/golden. The result is static. */
static inline const char *golden_path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/%s", CRIA_SOURCE_DIR, name);
    return path;
}

#define skip_without(path, what)                                                                   \
    do {                                                                                           \
        if (!(path)) {                                                                             \
            print_message("skipped: %s is not here\n", what);                                      \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

#define assert_ok(ok, err)                                                                         \
    do {                                                                                           \
        if (!(ok)) fail_msg("%s", (err)->text);                                                    \
    } while (0)

#endif
