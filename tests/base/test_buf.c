/* SPDX-License-Identifier: Apache-2.0
 *
 * test_buf.c - growth up to the ceiling, sticky failure, the NUL behind the bytes.
 */
#include "test.h"

#include "base/buf.h"

static void assert_holds(const struct buf *b, const char *want)
{
    assert_int_equal(b->n_bytes, strlen(want));
    assert_string_equal(b->data, want);
    assert_true(b->n_bytes < b->cap_bytes);
}

static void test_appends_add_up(void **state)
{
    (void)state;
    struct buf b;
    struct err err = {0};
    buf_init(&b, 1 << 20);
    assert_null(b.data);
    buf_puts(&b, "n = ");
    buf_printf(&b, "%d%s", 42, "");
    buf_putc(&b, ';');
    buf_append(&b, NULL, 0);
    memcpy(buf_grow(&b, 2), "ok", 2);
    assert_holds(&b, "n = 42;ok");
    assert_true(buf_check(&b, "text", &err));
    buf_clear(&b);
    assert_holds(&b, "");
    buf_release(&b);
    assert_null(b.data);
    buf_puts(&b, "again");
    assert_holds(&b, "again");
    buf_release(&b);
}

static void test_printf_longer_than_the_room(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int width = 1; width < 3000; width += 61) {
        const size_t n = b.n_bytes;
        buf_printf(&b, "%0*d", width, 7);
        assert_int_equal(b.n_bytes, n + (size_t)width);
        assert_int_equal(b.data[b.n_bytes - 1], '7');
        assert_int_equal(b.data[b.n_bytes], 0);
    }
    buf_release(&b);
}

/* The ceiling itself fits; one byte more fails whole, and nothing goes in after that. */
static const struct ceiling_case {
    size_t max_bytes;
} ceilings[] = {{0}, {1}, {63}, {64}, {65}, {100}, {4096}};

static void check_ceiling(size_t max_bytes, bool by_printf)
{
    struct buf b;
    struct err err = {0};
    buf_init(&b, max_bytes);
    for (size_t i = 0; i < max_bytes; i++) buf_putc(&b, 'a');
    assert_true(buf_check(&b, "text", &err));
    assert_int_equal(b.n_bytes, max_bytes);
    if (by_printf)
        buf_printf(&b, "%s", "bb");
    else
        buf_putc(&b, 'b');
    assert_int_equal(b.n_bytes, max_bytes);
    buf_puts(&b, "");
    assert_null(buf_grow(&b, 0));
    assert_false(buf_check(&b, "text", &err));
    assert_int_equal(err.code, ERR_MEMORY);
    assert_non_null(strstr(err.text, "text: "));
    assert_null(buf_take(&b));
    buf_clear(&b);
    assert_true(buf_check(&b, "text", &err));
    buf_release(&b);
}

static void test_ceiling_is_exact_and_failure_sticks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ceilings); i++) {
        print_message("ceiling %zu\n", ceilings[i].max_bytes);
        check_ceiling(ceilings[i].max_bytes, false);
        check_ceiling(ceilings[i].max_bytes, true);
    }
}

static void test_sizes_that_overflow_fail(void **state)
{
    (void)state;
    struct buf b;
    struct err err = {0};
    buf_init(&b, SIZE_MAX);
    buf_puts(&b, "abc");
    assert_null(buf_grow(&b, SIZE_MAX));
    assert_false(buf_check(&b, "text", &err));
    assert_holds(&b, "abc");
    buf_release(&b);
}

static void test_take_moves_the_bytes_out(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    buf_puts(&b, "moved");
    char *text = buf_take(&b);
    assert_string_equal(text, "moved");
    assert_null(b.data);
    assert_int_equal(b.max_bytes, 100);
    free(empty);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_add_up),
        cmocka_unit_test(test_printf_longer_than_the_room),
        cmocka_unit_test(test_ceiling_is_exact_and_failure_sticks),
        cmocka_unit_test(test_sizes_that_overflow_fail),
        cmocka_unit_test(test_take_moves_the_bytes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
