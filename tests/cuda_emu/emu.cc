/* SPDX-License-Identifier: Apache-2.0
 *
 * emu.cc - a launch: blocks in a loop, the threads of a block as fibers, and where they meet.
 *
 * A fiber runs until it waits: at a barrier, or for its warp. The last to arrive does the work for
 * all, in the operands that lie on the others' stacks, and all go on. When none can go on and some
 * are left, they wait for threads that ended or stand elsewhere: that is reported, and the launch
 * is over.
 */
#include "emu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fiber.h"
#include "watch.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
bool emu_is_in_kernel;
int emu_thread;

namespace
{
enum state { RUNS, AT_BARRIER, AT_WARP, ENDED };

struct thread {
    enum state state;
    const char *file;
    int line;
    emu_exchange *x;
};

struct problem {
    const void *pc;
    char place[200], text[300];
};

constexpr int MAX_PROBLEMS = 20;
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
const emu_kernel *kernel;
const void *args;
thread threads[FIBER_MAX];
int n_threads, n_at_barrier, n_in_warp[FIBER_MAX / 32];
problem problems[MAX_PROBLEMS];
int n_problems;
void (*reporter)(void *arg, const char *text);
void *reporter_arg;

/* ---- problems ---- */

/* "src/tensor/cuda/rows.cu:12" of code in this program, by addr2line. */
void place_of(char *place, size_t size, const void *pc)
{
    Dl_info info;
    snprintf(place, size, "at %p", pc);
    if (!dladdr(pc, &info)) return;
    char command[600], line[200];
    snprintf(command, sizeof command, "addr2line -e '%s' 0x%zx 2> /dev/null", info.dli_fname,
             (size_t)((const char *)pc - (const char *)info.dli_fbase) - 1);
    FILE *f = popen(command, "r");
    if (!f) return;
    if (fgets(line, sizeof line, f) && line[0] != '?') {
        line[strcspn(line, " \n")] = 0;
        const char *at = strstr(line, "/../");
        snprintf(place, size, "%s", at ? at + 4 : line);
    }
    pclose(f);
}

void report_all()
{
    for (int i = 0; i < n_problems; i++) {
        problem *p = &problems[i];
        if (!p->place[0] && p->pc) place_of(p->place, sizeof p->place, p->pc);
        char text[600];
        snprintf(text, sizeof text, "%s: %s", p->place, p->text);
        if (reporter) {
            reporter(reporter_arg, text);
        } else {
            fprintf(stderr, "%s\n", text);
        }
    }
    if (n_problems > 0 && !reporter) abort();
    n_problems = 0;
}
} // namespace

void emu_problem(const char *file, int line, const void *pc, const char *format, ...)
{
    problem p = {};
    p.pc = pc;
    if (file) snprintf(p.place, sizeof p.place, "%s:%d", file, line);
    for (int i = 0; i < n_problems; i++)
        if (problems[i].pc == pc && strcmp(problems[i].place, p.place) == 0) return;
    if (n_problems == MAX_PROBLEMS) return;
    char what[160];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    snprintf(p.text, sizeof p.text, "%s: %s; block %u,%u,%u thread %d", kernel ? kernel->name : "-",
             what, blockIdx.x, blockIdx.y, blockIdx.z, emu_thread);
    problems[n_problems++] = p;
}

/* ---- barriers ---- */

static void wait_as(enum state state, const char *file, int line)
{
    thread *me = &threads[emu_thread];
    me->state = state;
    me->file = file;
    me->line = line;
    emu_is_in_kernel = false;
    fiber_leave();
    emu_is_in_kernel = true;
}

void emu_barrier(const char *file, int line)
{
    if (++n_at_barrier < n_threads) {
        wait_as(AT_BARRIER, file, line);
        return;
    }
    for (int i = 0; i < n_threads; i++) {
        if (i == emu_thread) continue;
        if (threads[i].line != line || strcmp(threads[i].file, file) != 0)
            emu_problem(file, line, NULL, "thread %d is at another barrier, %s:%d", i,
                        threads[i].file, threads[i].line);
        threads[i].state = RUNS;
    }
    n_at_barrier = 0;
    watch_barrier();
}

/* ---- instructions of a warp ---- */

static void shuffle(thread *lane)
{
    uint32_t value[32];
    for (int i = 0; i < 32; i++) value[i] = lane[i].x->value;
    for (int i = 0; i < 32; i++) lane[i].x->value = value[(i ^ lane[i].x->lane_mask) & 31];
}

static double bf16_of(uint32_t pair, int i)
{
    return (double)bf16_to_f32((uint16_t)(pair >> 16 * i));
}

/* Matrices are gathered from the lanes by the manual's layout and multiplied. */
static void mma(thread *lane)
{
    double a[16][16], b[16][8];
    for (int i = 0; i < 32; i++) {
        const emu_exchange *x = lane[i].x;
        const int g = i / 4, t = i % 4;
        for (int j = 0; j < 2; j++) {
            a[g][2 * t + j] = bf16_of(x->a[0], j);
            a[g + 8][2 * t + j] = bf16_of(x->a[1], j);
            a[g][2 * t + 8 + j] = bf16_of(x->a[2], j);
            a[g + 8][2 * t + 8 + j] = bf16_of(x->a[3], j);
            b[2 * t + j][g] = bf16_of(x->b0, j);
            b[2 * t + 8 + j][g] = bf16_of(x->b1, j);
        }
    }
    for (int i = 0; i < 32; i++)
        for (int e = 0; e < 4; e++) {
            const int row = i / 4 + e / 2 * 8, column = i % 4 * 2 + e % 2;
            double sum = (double)lane[i].x->c[e];
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
            lane[i].x->c[e] = (float)sum;
        }
}

static void load(thread *lane, int first, const char *file, int line)
{
    uint16_t m[4][8][8];
    for (int i = 0; i < 32; i++) {
        emu_thread = first + i;
        emu_is_in_kernel = true;
        watch_access(lane[i].x->row, 16, false, file, line, NULL);
        memcpy(m[i / 8][i % 8], lane[i].x->row, 16);
    }
    const bool is_transposed = lane[0].x->kind == EMU_LOAD_TRANSPOSED;
    for (int i = 0; i < 32; i++)
        for (int k = 0; k < 4; k++) {
            const int g = i / 4, t = i % 4;
            const uint32_t low = is_transposed ? m[k][2 * t][g] : m[k][g][2 * t];
            const uint32_t high = is_transposed ? m[k][2 * t + 1][g] : m[k][g][2 * t + 1];
            lane[i].x->r[k] = low | high << 16;
        }
}

void emu_collective(emu_exchange *x, uint32_t mask, const char *file, int line)
{
    const int me = emu_thread, warp = me / 32;
    thread *lane = &threads[32 * warp];
    if (mask != 0xffffffffu) emu_problem(file, line, NULL, "mask %x of a warp", mask);
    threads[me].x = x;
    if (++n_in_warp[warp] < 32) {
        wait_as(AT_WARP, file, line);
        return;
    }
    n_in_warp[warp] = 0;
    bool is_one = true;
    for (int i = 0; i < 32; i++) {
        if (32 * warp + i == me) continue;
        if (lane[i].x->kind != x->kind || lane[i].line != line || strcmp(lane[i].file, file) != 0) {
            emu_problem(file, line, NULL, "lane %d of the warp is elsewhere, %s:%d", i,
                        lane[i].file, lane[i].line);
            is_one = false;
        }
        lane[i].state = RUNS;
    }
    if (is_one && x->kind == EMU_SHUFFLE_XOR) shuffle(lane);
    if (is_one && x->kind == EMU_MMA) mma(lane);
    if (is_one && (x->kind == EMU_LOAD || x->kind == EMU_LOAD_TRANSPOSED))
        load(lane, 32 * warp, file, line);
    emu_thread = me;
}

/* ---- a launch ---- */

static void run_thread(void)
{
    emu_is_in_kernel = true;
    kernel->call(args);
    emu_is_in_kernel = false;
    threads[emu_thread].state = ENDED;
}

/* None can go on: who waits, and for what. */
static void report_stuck(int n_ended)
{
    for (int i = 0; i < n_threads; i++) {
        const thread *t = &threads[i];
        emu_thread = i;
        if (t->state == AT_WARP)
            emu_problem(t->file, t->line, NULL, "only %d lanes of the warp come here",
                        n_in_warp[i / 32]);
        if (t->state == AT_BARRIER)
            emu_problem(t->file, t->line, NULL, "a barrier that %d threads reach and %d, ended, do not",
                        n_at_barrier, n_ended);
    }
}

static bool run_block(void)
{
    watch_block();
    n_at_barrier = 0;
    for (int w = 0; w < FIBER_MAX / 32; w++) n_in_warp[w] = 0;
    for (int i = 0; i < n_threads; i++) {
        threads[i] = thread();
        fiber_begin(i, run_thread);
    }
    for (;;) {
        bool has_run = false;
        int n_ended = 0;
        for (int i = 0; i < n_threads; i++) {
            if (threads[i].state == ENDED) n_ended++;
            if (threads[i].state != RUNS) continue;
            has_run = true;
            emu_thread = i;
            const unsigned u = (unsigned)i;
            threadIdx = {u % blockDim.x, u / blockDim.x % blockDim.y,
                         u / blockDim.x / blockDim.y};
            fiber_enter(i);
        }
        if (n_ended == n_threads) return true;
        if (has_run) continue;
        report_stuck(n_ended);
        return false;
    }
}

void emu_set_reporter(void (*report)(void *arg, const char *text), void *arg)
{
    reporter = report;
    reporter_arg = arg;
}

void emu_run(const emu_kernel *k, dim3 grid, dim3 block, const void *a)
{
    pthread_mutex_lock(&lock);
    kernel = k;
    args = a;
    gridDim = grid;
    blockDim = block;
    blockIdx = {0, 0, 0};
    emu_thread = 0;
    const uint64_t n = (uint64_t)block.x * block.y * block.z;
    n_threads = (int)n;
    if (n < 1 || n > FIBER_MAX || (k->n_threads && n != k->n_threads))
        emu_problem("launch", 0, NULL, "%d threads a block, not %u", n_threads, k->n_threads);
    else if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 || grid.z > 65535)
        emu_problem("launch", 0, NULL, "a grid of %u x %u x %u", grid.x, grid.y, grid.z);
    bool is_going = n_problems == 0;
    for (unsigned z = 0; z < grid.z && is_going; z++)
        for (unsigned y = 0; y < grid.y && is_going; y++)
            for (unsigned x = 0; x < grid.x && is_going; x++) {
                blockIdx = {x, y, z};
                is_going = run_block();
            }
    report_all();
    pthread_mutex_unlock(&lock);
}

void emu_launch(const char *name, dim3 grid, dim3 block, const void *a)
{
    static const emu_kernel unknown = {"-", 0, 0, NULL};
    const emu_kernel *k = emu_find(name);
    if (k) {
        emu_run(k, grid, block, a);
        return;
    }
    pthread_mutex_lock(&lock);
    kernel = &unknown;
    emu_problem("launch", 0, NULL, "no kernel %s", name);
    report_all();
    pthread_mutex_unlock(&lock);
}
