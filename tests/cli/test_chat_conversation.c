/* SPDX-License-Identifier: Apache-2.0
 *
 * test_chat_conversation.c - the messages of a chat: the system message's place, dropping old
 * turns, and the file, which comes back as it was and is refused when it is not one of ours.
 */
#include "test.h"

#include <unistd.h>

#include "cli/conversation.h"
#include "fault.h"

static void add(struct conversation *c, const char *role, const char *text)
{
    struct err err = {0};
    assert_ok(conversation_add(c, role, text, strlen(text), &err), &err);
}

/* "system:a user:b", for comparing. */
static const char *told(const struct conversation *c)
{
    static char s[1000];
    size_t n = 0;
    s[0] = '\0';
    for (size_t i = 0; i < c->n; i++)
        n += (size_t)snprintf(s + n, sizeof s - n, "%s%s:%s", i ? " " : "", c->message[i].role,
                              c->message[i].content);
    return s;
}

static void test_system_message_is_first(void **state)
{
    (void)state;
    struct conversation c = {0};
    struct err err = {0};
    add(&c, "user", "q");
    assert_true(conversation_set_system(&c, "s", &err));
    assert_string_equal(told(&c), "system:s user:q");
    assert_true(conversation_set_system(&c, "t", &err));
    assert_string_equal(told(&c), "system:t user:q");
    assert_string_equal(conversation_system(&c), "t");
    conversation_reset(&c);
    assert_string_equal(told(&c), "system:t");
    assert_true(conversation_set_system(&c, NULL, &err));
    assert_null(conversation_system(&c));
    assert_string_equal(conversation_last_role(&c), "");
    conversation_pop(&c);
    conversation_release(&c);
}

static void test_oldest_turns_are_dropped(void **state)
{
    (void)state;
    struct conversation c = {0};
    add(&c, "system", "s");
    add(&c, "user", "1");
    add(&c, "assistant", "a");
    add(&c, "user", "2");
    add(&c, "assistant", "b");
    add(&c, "user", "3");
    assert_true(conversation_drop_oldest(&c));
    assert_string_equal(told(&c), "system:s user:2 assistant:b user:3");
    assert_true(conversation_drop_oldest(&c));
    assert_false(conversation_drop_oldest(&c));
    assert_string_equal(told(&c), "system:s user:3");
    conversation_release(&c);
}

static void temp_path(char path[64])
{
    strcpy(path, "/tmp/cria-chat-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static void test_file_comes_back(void **state)
{
    (void)state;
    char path[64];
    struct conversation c = {0}, d = {0};
    struct err err = {0};
    temp_path(path);
    add(&c, "system", "be \"brief\"");
    add(&c, "user", "two\nlines\t\xe4\xbd\xa0\x01\\");
    add(&c, "assistant", "");
    add(&d, "user", "is replaced");
    assert_ok(conversation_save(&c, path, "model", &err), &err);
    assert_ok(conversation_load(&d, path, &err), &err);
    assert_string_equal(told(&d), told(&c));
    assert_int_equal(d.n, 3);
    unlink(path);
    assert_false(conversation_load(&d, path, &err));
    assert_int_equal(d.n, 3);
    conversation_release(&c);
    conversation_release(&d);
}

static const struct file_case {
    const char *what, *json, *want; /* the conversation, or NULL */
    const char *says;               /* part of the message */
} files[] = {
    /* clang-format off */
    {"object",        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "user:x", NULL},
    {"bare array",    "[{\"content\":\"x\",\"role\":\"user\",\"name\":\"n\"}]", "user:x", NULL},
    {"empty",         "[]",                                             "",   NULL},
    {"no JSON",       "hello",                                          NULL, "f: "},
    {"cut short",     "{\"messages\":[{\"role\":\"user\"",              NULL, "f: "},
    {"no messages",   "{\"message\":[]}",                               NULL, "no array \"messages\""},
    {"a number",      "[1]",                                            NULL, "message 0 has no \"role\""},
    {"no role",       "[{\"content\":\"x\"}]",                          NULL, "message 0 has no \"role\""},
    {"other role",    "[{\"role\":\"tool\",\"content\":\"x\"}]",        NULL, "\"tool\" is unknown"},
    {"late system",   "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"system\",\"content\":\"x\"}]",
                                                                        NULL, "message 1 is a second or late"},
    {"no content",    "[{\"role\":\"user\"}]",                          NULL, "\"content\" is no text"},
    {"parts",         "[{\"role\":\"user\",\"content\":[]}]",           NULL, "\"content\" is no text"},
    {"bad UTF-8",     "[{\"role\":\"user\",\"content\":\"\xff\"}]",     NULL, "f: "},
    /* clang-format on */
};

static void test_files_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct conversation c = {0};
        struct err err = {0};
        add(&c, "user", "before");
        print_message("%s\n", files[i].what);
        const bool ok = conversation_parse(&c, files[i].json, strlen(files[i].json), "f", &err);
        assert_string_equal(told(&c), files[i].want ? files[i].want : "user:before");
        assert_int_equal(ok, files[i].want != NULL);
        if (!ok && !strstr(err.text, files[i].says)) fail_msg("says: %s", err.text);
        conversation_release(&c);
    }
}

/* Every allocation and call fails in turn: refused with a reason, and the conversation as before.
 */
static void test_faults(void **state)
{
    (void)state;
    char path[64];
    temp_path(path);
    for (int64_t n = 1;; n++) {
        struct conversation c = {0}, d = {0};
        struct err err = {0};
        add(&c, "user", "q");
        add(&c, "assistant", "a");
        fault_arm(FAULT_MEMORY | FAULT_IO, n);
        const bool ok = conversation_save(&c, path, "m", &err) && conversation_load(&d, path, &err);
        const bool was_hit = fault_disarm();
        assert_true(ok || err.code != ERR_OK);
        assert_string_equal(told(&c), "user:q assistant:a");
        assert_int_equal(d.n, ok ? 2 : 0);
        conversation_release(&c);
        conversation_release(&d);
        if (!was_hit) {
            assert_true(ok);
            assert_true(n > 5);
            break;
        }
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_message_is_first),
        cmocka_unit_test(test_oldest_turns_are_dropped),
        cmocka_unit_test(test_file_comes_back),
        cmocka_unit_test(test_files_are_checked),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
