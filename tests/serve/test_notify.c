/* SPDX-License-Identifier: Apache-2.0
 *
 * test_notify.c - what arrives at NOTIFY_SOCKET, by path and by abstract name, and what is not
 * sent.
 */
#include "test.h"

#include <unistd.h>

#include "serve/notify.h"

/* A socket bound to a name, '@' for the abstract space. */
static int listen_at(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    memcpy(a.sun_path, name, strlen(name));
    if (name[0] == '@') a.sun_path[0] = '\0';
    const socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&a, n), 0);
    return fd;
}

static const char *heard(int fd)
{
    static char text[200];
    const ssize_t n = recv(fd, text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static const struct notify_case {
    const char *what, *name;
    const char *usec, *pid; /* NULL: unset; "own": this process */
    bool has_watchdog;
} cases[] = {
    /* clang-format off */
    {"a path",                     "/tmp/cria-notify-%d", NULL,      NULL,  false},
    {"an abstract name",           "@cria-notify-%d",     NULL,      NULL,  false},
    {"a watchdog",                 "@cria-notify-%d",     "9000000", "own", true},
    {"a watchdog for anybody",     "@cria-notify-%d",     "9000000", NULL,  true},
    {"a watchdog of another",      "@cria-notify-%d",     "9000000", "1",   false},
    /* clang-format on */
};

static void set(const char *name, const char *value)
{
    char own[20];
    snprintf(own, sizeof own, "%d", (int)getpid());
    if (!value)
        unsetenv(name);
    else
        setenv(name, strcmp(value, "own") == 0 ? own : value, 1);
}

static void test_states_arrive(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct notify_case *c = &cases[i];
        struct notify n;
        char name[60];
        print_message("%s\n", c->what);
        snprintf(name, sizeof name, c->name[0] == '@' ? "@cria-notify-%d" : "/tmp/cria-notify-%d",
                 (int)getpid());
        const int fd = listen_at(name);
        set("NOTIFY_SOCKET", name);
        set("WATCHDOG_USEC", c->usec);
        set("WATCHDOG_PID", c->pid);
        notify_init(&n);
        assert_int_equal(n.has_watchdog, c->has_watchdog);
        notify_say(&n, "READY=1\nSTATUS=x");
        assert_string_equal(heard(fd), "READY=1\nSTATUS=x");
        close(fd);
        if (name[0] == '/') unlink(name);
        notify_say(&n, "STOPPING=1"); /* to nobody */
    }
}

static void test_no_name_is_no_listener(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "", "/", "relative", "vsock:2:1"};
    char longest[200] = "/";
    memset(longest + 1, 'x', sizeof longest - 2);
    set("WATCHDOG_USEC", "1");
    for (size_t i = 0; i <= ARRAY_LEN(names); i++) {
        struct notify n;
        set("NOTIFY_SOCKET", i < ARRAY_LEN(names) ? names[i] : longest);
        notify_init(&n);
        assert_int_equal(n.n_to, 0);
        assert_false(n.has_watchdog);
        notify_say(&n, "READY=1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_arrive),
        cmocka_unit_test(test_no_name_is_no_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
