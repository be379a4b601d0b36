/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c - runs a fuzz target over the kept corpus, tests/fuzz/corpus/NAME, as an ordinary test.
 *
 * So that CI needs no fuzzer to notice that an old finding is back. Each input lies at the end of
 * its own heap block, where a sanitizer sees a read past it. Prints TAP.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        if (f) fclose(f);
        return 0; /* "." and ".." */
    }
    const long n = ftell(f);
    rewind(f);
    uint8_t *data = n >= 0 && n < 1 << 24 ? malloc((size_t)n + (n == 0)) : NULL;
    const int is_read = data && fread(data, 1, (size_t)n, f) == (size_t)n;
    fclose(f);
    if (is_read) (void)LLVMFuzzerTestOneInput(data, (size_t)n);
    free(data);
    return is_read;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : CRIA_CORPUS;
    int n = 0;
    DIR *d = opendir(dir);
    struct dirent *e = NULL;
    while (d && (e = readdir(d))) {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        n += replay(path);
    }
    if (d) closedir(d);
    printf("1..1\n%s 1 - %d inputs of %s\n", n ? "ok" : "not ok", n, dir);
    return n == 0;
}
