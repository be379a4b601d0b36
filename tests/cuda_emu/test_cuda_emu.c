/* SPDX-License-Identifier: Apache-2.0
 *
 * test_cuda_emu.c - the emulation sees what is wrong in a kernel, and nothing in one that is right.
 */
#include "test.h"

#include "wrong.h"

struct seen {
    int n;
    char text[600];
};

static void see(void *arg, const char *text)
{
    struct seen *s = arg;
    if (s->n++ == 0) snprintf(s->text, sizeof s->text, "%s", text);
}

static void check_seen(int i, const char *place, const char *what)
{
    static _Alignas(16) float out[68];
    struct seen s = {0};
    const struct wrong_args args = {out};
    emu_set_reporter(see, &s);
    emu_run(&wrong_kernels[i], (struct dim3){1, 1, 1}, (struct dim3){64, 1, 1}, &args);
    emu_set_reporter(NULL, NULL);
    if (!what) {
        if (s.n > 0) fail_msg("%s: reported: %s", wrong_kernels[i].name, s.text);
        for (int t = 0; t < 64; t++) assert_true(out[t] == (t < 32 ? 496.0f : 1520.0f));
    } else if (s.n == 0 || !strstr(s.text, place) || !strstr(s.text, what)) {
        fail_msg("%s: %d reports, not '%s' with '%s': %s", wrong_kernels[i].name, s.n, what, place,
                 s.text);
    }
}

static void test_mistakes_are_seen(void **state)
{
    (void)state;
    static const struct {
        const char *place, *what;
    } cases[] = {
        {"wrong.cc:14:", "63 threads reach and 1, ended, do not"},
        {"wrong.cc:23:", "at another barrier"},
        {"wrong.cc:32:", "that nothing has written"},
        {"wrong.cc:40:", "another thread has"},
        {"wrong.cc:47:", "only 31 lanes"},
        {"wrong.cc:53:", "not aligned"},
        {NULL, NULL},
    };
    for (int i = 0; i < 7; i++) check_seen(i, cases[i].place, cases[i].what);
}

static void test_unknown_kernels_are_seen(void **state)
{
    (void)state;
    struct seen s = {0};
    emu_set_reporter(see, &s);
    emu_launch("no_such", (struct dim3){1, 1, 1}, (struct dim3){64, 1, 1}, NULL);
    emu_launch("attention_flash_64", (struct dim3){1, 1, 1}, (struct dim3){64, 1, 1}, NULL);
    emu_set_reporter(NULL, NULL);
    assert_int_equal(s.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes_are_seen),
        cmocka_unit_test(test_unknown_kernels_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
