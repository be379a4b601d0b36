/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c - the open GPU: its context, its kernels, its memory.
 *
 * The kernels are in the program as machine code for each generation (kernels.fatbin); the driver
 * takes the fitting one. A failure of anything that is asked for is kept, the first one, and told
 * by finish(): the operators themselves cannot fail. What failed once fails from then on, since the
 * driver's context is lost with it.
 *
 * Begin reading at device_open().
 */
#include "tensor/cuda/device.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "tensor/cuda/image.h"
#include "tensor/cuda/layout.h"

enum { STAGING_BYTES = 64 << 20 };

static struct {
    pthread_mutex_t lock; /* while it is opened, and of `staging` */
    bool is_open;
    int i, n_sm;
    char name[100];
    struct driver driver;
    void *context, *module;
    void *function[N_KERNELS];
    cu_ptr staging;
    atomic_int failed; /* the first error */
} dev = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const kernel_names[N_KERNELS] = {
/* clang-format off */
#define NAME(name) #name,
    CUDA_KERNELS(NAME)
#undef NAME
#define NAME(d) "attention_flash_" #d,
    CUDA_FLASH_KERNELS(NAME)
#undef NAME
#define NAME(t) "linear_one_" #t,
    CUDA_FEW_TYPES(NAME)
#undef NAME
#define NAME(t) "linear_few_" #t "_1", "linear_few_" #t "_2", "linear_few_" #t "_4",
    CUDA_FEW_TYPES(NAME)
#undef NAME
    /* clang-format on */
};

/* ---- life ---- */

static const char *explain(int error)
{
    const char *text = NULL;
    if (dev.driver.error_string(error, &text) != CU_OK || !text) text = "unknown error";
    return text;
}

static bool refuse(struct err *err, const char *what, int error)
{
    return err_set(err, ERR_UNSUPPORTED, "cuda:%d: %s: %s; see nvidia-smi, or leave out --device",
                   dev.i, what, explain(error));
}

static bool find_device(int *device, struct err *err)
{
    int n = 0, error = dev.driver.init(0);
    if (error == CU_OK) error = dev.driver.device_count(&n);
    if (error != CU_OK) return refuse(err, "the driver does not start", error);
    if (dev.i >= n)
        return err_set(err, ERR_USAGE, "cuda:%d: there %s %d device%s, cuda:0 to cuda:%d", dev.i,
                       n == 1 ? "is" : "are", n, n == 1 ? "" : "s", n - 1);
    error = dev.driver.device_get(device, dev.i);
    return error == CU_OK || refuse(err, "cannot be opened", error);
}

static bool load_kernels(struct err *err)
{
    int error = dev.driver.module_load(&dev.module, cuda_image);
    for (int k = 0; error == CU_OK && k < N_KERNELS; k++)
        error = dev.driver.module_function(&dev.function[k], dev.module, kernel_names[k]);
    return error == CU_OK || refuse(err, "our kernels do not run on it", error);
}

static bool open_device(struct err *err)
{
    int device = 0, major = 0, minor = 0;
    if (cuda_image_bytes == 0)
        return err_set(
            err, ERR_UNSUPPORTED,
            "this program was built without kernels for GPUs; build it where nvcc is, or "
            "leave out --device");
    if (!dev.driver.init && !driver_load(&dev.driver, err)) return false;
    if (!find_device(&device, err)) return false;
    dev.driver.device_name(dev.name, (int)sizeof dev.name - 1, device);
    dev.driver.device_attribute(&dev.n_sm, CU_MULTIPROCESSORS, device);
    dev.driver.device_attribute(&major, CU_MAJOR, device);
    dev.driver.device_attribute(&minor, CU_MINOR, device);
    if (major < 8)
        return err_set(err, ERR_UNSUPPORTED,
                       "cuda:%d: %s has compute capability %d.%d, 8.0 is the least (Ampere); leave "
                       "out --device",
                       dev.i, dev.name, major, minor);
    int error = dev.driver.context_retain(&dev.context, device);
    if (error == CU_OK) error = dev.driver.context_set(dev.context);
    if (error != CU_OK) return refuse(err, "cannot be used", error);
    if (!load_kernels(err)) return false;
    error = dev.driver.mem_alloc(&dev.staging, STAGING_BYTES);
    return error == CU_OK || refuse(err, "no memory", error);
}

bool device_open(int i, struct err *err)
{
    bool ok = true;
    pthread_mutex_lock(&dev.lock);
    if (dev.is_open && dev.i != i)
        ok = err_set(err, ERR_USAGE, "cuda:%d: this process has cuda:%d open; start another", i,
                     dev.i);
    else if (!dev.is_open) {
        dev.i = i;
        ok = dev.is_open = open_device(err);
    }
    pthread_mutex_unlock(&dev.lock);
    return ok;
}

int device_n_sm(void) { return dev.n_sm; }

/* ---- asking for work ---- */

static void check(int error)
{
    int none = CU_OK;
    if (error != CU_OK) atomic_compare_exchange_strong(&dev.failed, &none, error);
}

void device_fail(void) { check(CU_UNKNOWN); }

/* The context is a thread's own setting. */
static void enter(void) { check(dev.driver.context_set(dev.context)); }

void device_launch(enum kernel k, int64_t gx, int64_t gy, int64_t gz, int threads, void *args)
{
    if (gx < 1 || gy < 1 || gz < 1) return;
    enter();
    check(dev.driver.launch(dev.function[k], (unsigned)gx, (unsigned)gy, (unsigned)gz,
                            (unsigned)threads, 1, 1, 0, CU_STREAM, (void *[]){args}, NULL));
}

/* ---- memory ---- */

static cu_ptr to_cu(const void *p) { return (cu_ptr)(uintptr_t)p; }

static uint64_t memory_available(void)
{
    size_t n_free = 0, n_all = 0;
    enter();
    check(dev.driver.mem_info(&n_free, &n_all));
    return n_free;
}

static void *memory_alloc(size_t n_bytes, struct err *err)
{
    cu_ptr p = 0;
    enter();
    if (dev.driver.mem_alloc(&p, n_bytes) == CU_OK) return (void *)(uintptr_t)p;
    err_set(err, ERR_MEMORY,
            "cuda:%d: %zu MiB are wanted, %" PRIu64
            " MiB of its memory are free; use a smaller model, context or batch",
            dev.i, n_bytes >> 20, memory_available() >> 20);
    return NULL;
}

static void memory_free(void *p)
{
    enter();
    if (p) check(dev.driver.mem_free(to_cu(p)));
}

static void *memory_alloc_host(size_t n_bytes, struct err *err)
{
    void *p = NULL;
    enter();
    if (dev.driver.host_alloc(&p, n_bytes, 0) == CU_OK) return p;
    err_set(err, ERR_MEMORY, "no memory for %zu MiB beside cuda:%d; free memory", n_bytes >> 20,
            dev.i);
    return NULL;
}

static void memory_free_host(void *p)
{
    enter();
    if (p) check(dev.driver.host_free(p));
}

static void memory_put(void *to, const void *from, size_t n_bytes)
{
    enter();
    check(dev.driver.to_device(to_cu(to), from, n_bytes, CU_STREAM));
}

static void memory_get(void *to, const void *from, size_t n_bytes)
{
    enter();
    check(dev.driver.to_host(to, to_cu(from), n_bytes, CU_STREAM));
}

static void memory_copy(void *to, const void *from, size_t n_bytes)
{
    enter();
    check(dev.driver.on_device(to_cu(to), to_cu(from), n_bytes, CU_STREAM));
}

static bool memory_finish(struct err *err)
{
    enter();
    check(dev.driver.synchronize(CU_STREAM));
    const int error = atomic_load(&dev.failed);
    return error == CU_OK ||
           err_set(err, ERR_IO, "cuda:%d (%s) has failed: %s; see nvidia-smi and start again",
                   dev.i, dev.name, explain(error));
}

/* ---- weights ---- */

static bool is_plain(enum dtype t) { return !dtype_info(t)->is_quantized; }

static size_t row_bytes(const struct tensor *t)
{
    const struct dtype_info *d = dtype_info(t->dtype);
    const size_t n = (size_t)tensor_cols(t);
    if (is_plain(t->dtype)) return (n + 31) / 32 * 32 * d->block_bytes;
    return (n / d->block_elems * d->block_bytes + 15) / 16 * 16;
}

static size_t placed_bytes(const struct tensor *t) { return row_bytes(t) * (size_t)tensor_rows(t); }

/* As many rows at a time as the staging memory holds. */
static bool place(struct tensor *t, void *to, struct err *err)
{
    const size_t ld = row_bytes(t);
    const int64_t n_rows = tensor_rows(t), n_once = (int64_t)(STAGING_BYTES / t->row_bytes);
    bool ok = n_once > 0 || err_set(err, ERR_LIMIT, "rows of %zu bytes are too long for cuda:%d",
                                    t->row_bytes, dev.i);
    pthread_mutex_lock(&dev.lock);
    for (int64_t row = 0; ok && row < n_rows; row += n_once) {
        const int64_t n = n_rows - row < n_once ? n_rows - row : n_once;
        struct place_args a = {.to = (uint8_t *)to + (size_t)row * ld,
                               .from = (const uint8_t *)(uintptr_t)dev.staging,
                               .to_row_bytes = (int64_t)ld,
                               .from_row_bytes = (int64_t)t->row_bytes,
                               .n_rows = n,
                               .n_blocks = tensor_cols(t) / dtype_info(t->dtype)->block_elems,
                               .dtype = (int32_t)t->dtype};
        const size_t n_bytes = (size_t)n * t->row_bytes;
        if (is_plain(t->dtype) && ld == t->row_bytes) {
            memory_put(a.to, tensor_row(t, row), n_bytes);
        } else {
            memory_put((void *)(uintptr_t)dev.staging, tensor_row(t, row), n_bytes);
            device_launch(KERNEL_place, 32 * dev.n_sm, 1, 1, 128, &a);
        }
        ok = memory_finish(err);
    }
    pthread_mutex_unlock(&dev.lock);
    t->data = to;
    t->row_bytes = ld;
    return ok;
}

/* ---- recordings ---- */

enum { CAPTURE_THIS_THREAD = 1 };

static void begin_recording(void)
{
    enter();
    check(dev.driver.capture_begin(CU_STREAM, CAPTURE_THIS_THREAD));
}

static void *end_recording(void)
{
    void *graph = NULL, *exec = NULL;
    if (dev.driver.capture_end(CU_STREAM, &graph) != CU_OK || !graph) return NULL;
    if (dev.driver.graph_instantiate(&exec, graph, 0) != CU_OK) exec = NULL;
    check(dev.driver.graph_destroy(graph));
    return exec;
}

static void replay(void *recording)
{
    enter();
    check(dev.driver.graph_launch(recording, CU_STREAM));
}

static void free_recording(void *recording)
{
    enter();
    if (recording) check(dev.driver.exec_destroy(recording));
}

const struct device_memory device_memory = {
    .alloc = memory_alloc,
    .free = memory_free,
    .alloc_host = memory_alloc_host,
    .free_host = memory_free_host,
    .available = memory_available,
    .put = memory_put,
    .get = memory_get,
    .copy = memory_copy,
    .finish = memory_finish,
    .placed_bytes = placed_bytes,
    .place = place,
    .begin_recording = begin_recording,
    .end_recording = end_recording,
    .replay = replay,
    .free_recording = free_recording,
    .measure = device_measure,
};
