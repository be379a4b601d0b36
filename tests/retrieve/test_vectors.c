/* SPDX-License-Identifier: Apache-2.0
 *
 * test_vectors.c - vectors of passages: the nearest in order, whose they are, and blobs that are no
 * vectors.
 */
#include "index_fixture.h"

#include <math.h>
#include <sqlite3.h>

#include "retrieve/vectors.h"

enum { D = 48, N = 40 };

/* Passages 1 to N, one of a file. */
static struct store *open_many(void)
{
    char name[20], text[60];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%02d.txt", i);
        snprintf(text, sizeof text, "passage number %d says nothing more", i);
        write_file(name, text);
    }
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    return s;
}

/* A vector of length 1 that depends on the seed alone. */
static void draw(float v[D], uint32_t seed)
{
    float sum = 0;
    for (int i = 0; i < D; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(seed >> 8) / (1 << 23) - 1;
        sum += v[i] * v[i];
    }
    for (int i = 0; i < D; i++) v[i] /= sqrtf(sum);
}

static float likeness(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < D; i++) sum += a[i] * b[i];
    return sum;
}

static void put_all(struct store *s)
{
    struct err err = {0};
    struct buf text;
    float v[D];
    int64_t id = 0, n = 0;
    int found = 0;
    buf_init(&text, 1000);
    assert_ok(vectors_begin(s, "model A", &n, &err), &err);
    assert_int_equal(n, N);
    while ((found = vectors_next(s, id, &id, &text, &err)) > 0) {
        assert_non_null(strstr(text.data, "says nothing more"));
        buf_clear(&text);
        draw(v, (uint32_t)id);
        assert_ok(vectors_put(s, id, v, D, &err), &err);
        n--;
    }
    assert_int_equal(found, 0);
    assert_int_equal(n, 0);
    buf_release(&text);
}

static void test_order_is_that_of_floats(void **state)
{
    (void)state;
    struct err err = {0};
    struct store *s = open_many();
    float q[D], v[D];
    int64_t id[N + 5];
    int n = 0;
    put_all(s);
    for (uint32_t seed = 1000; seed < 1010; seed++) {
        draw(q, seed);
        assert_ok(vectors_nearest(s, q, D, N + 5, id, &n, &err), &err);
        assert_int_equal(n, N);
        float last = 1;
        for (int i = 0; i < N; i++) {
            draw(v, (uint32_t)id[i]);
            /* a byte a number moves a likeness by less than a hundredth */
            assert_true(likeness(q, v) < last + 0.01f);
            last = likeness(q, v);
        }
    }
    draw(q, 7);
    assert_ok(vectors_nearest(s, q, D, 3, id, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(id[0], 7);
    store_close(s);
}

static void test_whose_they_are(void **state)
{
    (void)state;
    struct err err = {0};
    struct store *s = open_many();
    struct store_counts c;
    int64_t n = 0;
    assert_false(vectors_check(s, "model A", &err));
    assert_non_null(strstr(err.text, "no vectors"));
    put_all(s);
    assert_ok(vectors_check(s, "model A", &err), &err);
    assert_false(vectors_check(s, "model B", &err));
    assert_non_null(strstr(err.text, "another model"));
    assert_ok(vectors_begin(s, "model A", &n, &err), &err);
    assert_int_equal(n, 0);
    /* a document that goes takes its vector along; a new one has none */
    assert_int_equal(unlink(in_scratch("03.txt")), 0);
    index_scratch(s);
    assert_ok(store_count(s, &c, &err), &err);
    assert_int_equal(c.n_vectors, N - 1);
    write_file("new.txt", "one more passage says nothing more");
    index_scratch(s);
    assert_ok(vectors_begin(s, "model A", &n, &err), &err);
    assert_int_equal(n, 1);
    assert_ok(vectors_begin(s, "model B", &n, &err), &err);
    assert_int_equal(n, N);
    store_close(s);
}

static void sql(struct store *s, const char *text)
{
    assert_int_equal(sqlite3_exec(store_db(s), text, NULL, NULL, NULL), SQLITE_OK);
}

static void test_blobs_that_are_no_vectors(void **state)
{
    (void)state;
    struct err err = {0};
    struct store *s = open_many();
    float q[D];
    int64_t id[N];
    int n = 0;
    put_all(s);
    sql(s, "UPDATE vectors SET vector = x'' WHERE chunk = 1");
    sql(s, "UPDATE vectors SET vector = x'0000' WHERE chunk = 2");
    sql(s, "UPDATE vectors SET vector = 'text' WHERE chunk = 3");
    sql(s, "UPDATE vectors SET vector = 17 WHERE chunk = 4");
    sql(s, "UPDATE vectors SET vector = zeroblob(100000) WHERE chunk = 5");
    /* scales of NaN and infinity, right length */
    sql(s, "UPDATE vectors SET vector = CAST(x'0000c07f' || zeroblob(48) AS BLOB) WHERE chunk = 6");
    sql(s, "UPDATE vectors SET vector = CAST(x'0000807f' || vector AS BLOB) WHERE chunk = 7");
    sql(s, "DELETE FROM vectors WHERE chunk = 8");
    draw(q, 1);
    assert_ok(vectors_nearest(s, q, D, N, id, &n, &err), &err);
    assert_int_equal(n, N - 8);
    for (int i = 0; i < n; i++) assert_true(id[i] > 8);
    assert_ok(vectors_nearest(s, q, D / 2, N, id, &n, &err), &err);
    assert_int_equal(n, 0); /* a question of another model's length is near to nothing */
    for (int i = 0; i < D; i++) q[i] = 0;
    assert_ok(vectors_nearest(s, q, D, N, id, &n, &err), &err);
    assert_int_equal(n, N - 8);
    assert_false(vectors_put(s, 9, q, 1 << 17, &err));
    sql(s, "DROP TABLE vectors");
    assert_false(vectors_nearest(s, q, D, N, id, &n, &err));
    assert_false(vectors_put(s, 9, q, D, &err));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_is_that_of_floats, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_whose_they_are, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_blobs_that_are_no_vectors, make_scratch,
                                        remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
