/* checked.h - sums and products of sizes that come from outside.
 *
 * Every size, count or offset that a file, socket or option names is multiplied and added only
 * through these: true and the result, or false and `*out` untouched. Any thread.
 */
#ifndef CRIA_BASE_CHECKED_H
#define CRIA_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r = 0;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r = 0;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool i64_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t r = 0;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

static inline bool i64_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t r = 0;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

#endif
