/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_value.c - metadata values as C numbers and strings.
 *
 * Converters disagree about the width of integers (the specification says u64, most files have
 * u32), so a reader names the range that it can live with and takes any type that holds it. A
 * missing key is no error here: the caller knows whether it has a default. Values lie in the file
 * unaligned, so each is copied out.
 *
 * Begin reading at gguf_i64().
 */
#include <inttypes.h>
#include <string.h>

#include "formats/gguf.h"
#include "formats/gguf_parse.h"

/* ---- elements ---- */

#define ELEM(type, name)                                                                           \
    static type elem_##name(const struct gguf_value *v, uint64_t i)                                \
    {                                                                                              \
        type x = 0;                                                                                \
        memcpy(&x, (const uint8_t *)v->raw + i * sizeof x, sizeof x);                              \
        return x;                                                                                  \
    }
ELEM(uint8_t, u8)
ELEM(int8_t, i8)
ELEM(uint16_t, u16)
ELEM(int16_t, i16)
ELEM(uint32_t, u32)
ELEM(int32_t, i32)
ELEM(uint64_t, u64)
ELEM(int64_t, i64)
ELEM(float, f32)
ELEM(double, f64)

/* Floats become whole numbers only where they fit: a cast of what does not is undefined. */
static int64_t to_i64(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : 0; }

int64_t gguf_elem_i64(const struct gguf_value *v, uint64_t i)
{
    switch (v->elem_type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return elem_u8(v, i);
    case GGUF_I8:
        return elem_i8(v, i);
    case GGUF_U16:
        return elem_u16(v, i);
    case GGUF_I16:
        return elem_i16(v, i);
    case GGUF_U32:
        return elem_u32(v, i);
    case GGUF_I32:
        return elem_i32(v, i);
    case GGUF_U64:
        return (int64_t)elem_u64(v, i);
    case GGUF_I64:
        return elem_i64(v, i);
    case GGUF_F32:
        return to_i64((double)elem_f32(v, i));
    case GGUF_F64:
        return to_i64(elem_f64(v, i));
    case GGUF_STRING:
    case GGUF_ARRAY:
        break;
    }
    return 0;
}

double gguf_elem_f64(const struct gguf_value *v, uint64_t i)
{
    switch (v->elem_type) {
    case GGUF_F32:
        return (double)elem_f32(v, i);
    case GGUF_F64:
        return elem_f64(v, i);
    case GGUF_U64:
        return (double)elem_u64(v, i);
    default:
        return (double)gguf_elem_i64(v, i);
    }
}

bool gguf_next_str(const struct gguf_value *v, const uint8_t **cursor, const char **s, size_t *n)
{
    const uint8_t *at = *cursor ? *cursor : v->raw;
    if (v->elem_type != GGUF_STRING || v->type != GGUF_ARRAY) return false;
    if (at == (const uint8_t *)v->raw + v->n_bytes) return false;
    uint64_t n_string = 0;
    memcpy(&n_string, at, sizeof n_string); /* checked when opened: gguf_parse.c, I1 */
    *s = (const char *)at + sizeof n_string;
    *n = (size_t)n_string;
    *cursor = at + sizeof n_string + n_string;
    return true;
}

/* ---- values by key ---- */

/* The value of `key`, or NULL; tells the caller which. */
static const struct gguf_value *look_up(const struct gguf *g, const char *key, bool *has)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (has) *has = v != NULL;
    return v;
}

static bool wrong_type(const struct gguf *g, const struct gguf_value *v, const char *wanted,
                       struct err *err)
{
    return err_set(err, ERR_FORMAT,
                   "%s: key %.80s: is of type %s where %s is needed; convert the "
                   "model again",
                   gguf_path(g), v->key, gguf_scalar_name(v->type), wanted);
}

bool gguf_i64(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
              bool *has, struct err *err)
{
    const struct gguf_value *v = look_up(g, key, has);
    int64_t x = 0;
    if (!v) return true;
    const bool is_too_big = v->type == GGUF_U64 && elem_u64(v, 0) > INT64_MAX;
    if (!is_too_big && !gguf_value_i64(v, &x)) return wrong_type(g, v, "a whole number", err);
    if (is_too_big || x < min || x > max)
        return err_set(err, ERR_FORMAT,
                       "%s: key %.80s: is %s%" PRId64 ", allowed are %" PRId64 " to %" PRId64
                       "; convert the model again",
                       gguf_path(g), key, is_too_big ? "above " : "", is_too_big ? INT64_MAX : x,
                       min, max);
    *out = x;
    return true;
}

bool gguf_f64(const struct gguf *g, const char *key, double min, double max, double *out, bool *has,
              struct err *err)
{
    const struct gguf_value *v = look_up(g, key, has);
    if (!v) return true;
    if (v->type == GGUF_BOOL || gguf_scalar_bytes(v->type) == 0)
        return wrong_type(g, v, "a number", err);
    const double x = gguf_elem_f64(v, 0);
    if (!(x >= min && x <= max)) /* so written, NaN is refused */
        return err_set(err, ERR_FORMAT,
                       "%s: key %.80s: is %g, allowed are %g to %g; convert the model again",
                       gguf_path(g), key, x, min, max);
    *out = x;
    return true;
}

bool gguf_bool(const struct gguf *g, const char *key, bool *out, bool *has, struct err *err)
{
    const struct gguf_value *v = look_up(g, key, has);
    if (!v) return true;
    if (v->type != GGUF_BOOL) return wrong_type(g, v, "a bool", err);
    *out = elem_u8(v, 0) != 0;
    return true;
}

bool gguf_str(const struct gguf *g, const char *key, const char **s, size_t *n, bool *has,
              struct err *err)
{
    const struct gguf_value *v = look_up(g, key, has);
    if (!v) return true;
    if (v->type != GGUF_STRING) return wrong_type(g, v, "a string", err);
    *s = v->raw;
    *n = (size_t)v->n;
    return true;
}
