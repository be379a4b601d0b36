/* driver.h - the functions of the CUDA driver and of cuBLASLt that we call, as tables.
 *
 * Both libraries are opened when a device is asked for and not before, so that one program runs
 * where they are and where they are not. The declarations are ours, of the published interface
 * (CUDA driver API 12 and 13): no header of NVIDIA's is needed to build. Tests put other functions
 * into the tables, which run kernels on the host (tests/cuda_emu).
 */
#ifndef CRIA_TENSOR_CUDA_DRIVER_H
#define CRIA_TENSOR_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef uint64_t cu_ptr; /* device memory */

/* Returned by every driver function: 0, or a number that cuGetErrorString() explains. */
enum { CU_OK = 0, CU_UNKNOWN = 999 };
enum { CU_MULTIPROCESSORS = 16, CU_MAJOR = 75, CU_MINOR = 76 }; /* attributes of a device */
#define CU_STREAM ((void *)0x2)                                 /* each host thread's own */

struct driver {
    int (*init)(unsigned flags);
    int (*driver_version)(int *version);
    int (*error_string)(int error, const char **text);
    int (*device_count)(int *n);
    int (*device_get)(int *device, int i);
    int (*device_name)(char *name, int n_bytes, int device);
    int (*device_attribute)(int *value, int attribute, int device);
    int (*context_retain)(void **context, int device);
    int (*context_set)(void *context);
    int (*module_load)(void **module, const void *image);
    int (*module_function)(void **function, void *module, const char *name);
    int (*mem_alloc)(cu_ptr *p, size_t n_bytes);
    int (*mem_free)(cu_ptr p);
    int (*mem_info)(size_t *n_free, size_t *n_all);
    int (*host_alloc)(void **p, size_t n_bytes, unsigned flags);
    int (*host_free)(void *p);
    int (*to_device)(cu_ptr to, const void *from, size_t n_bytes, void *stream);
    int (*to_host)(void *to, cu_ptr from, size_t n_bytes, void *stream);
    int (*on_device)(cu_ptr to, cu_ptr from, size_t n_bytes, void *stream);
    int (*synchronize)(void *stream);
    int (*launch)(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                  unsigned bz, unsigned shared_bytes, void *stream, void **args, void **extra);
    int (*capture_begin)(void *stream, int mode);
    int (*capture_end)(void *stream, void **graph);
    int (*graph_instantiate)(void **exec, void *graph, unsigned long long flags);
    int (*graph_launch)(void *exec, void *stream);
    int (*graph_destroy)(void *graph);
    int (*exec_destroy)(void *exec);
};

/* cuBLASLt's; matrices are described by handles, columns first. */
enum {
    LT_FLOAT = 0,
    LT_BF16 = 14,       /* types of elements */
    LT_IN_FLOAT = 68,   /* how it computes */
    LT_TRANSPOSE_A = 3, /* attributes of a product; the value 1 transposes */
    LT_MAX_WORKSPACE = 1,
};
struct lt_choice {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    int32_t status;
    float waves;
    int32_t reserved[4];
};
struct blas {
    int (*create)(void **handle);
    int (*product_create)(void **product, int compute, int scale_type);
    int (*product_set)(void *product, int attribute, const void *value, size_t n_bytes);
    int (*product_destroy)(void *product);
    int (*layout_create)(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld);
    int (*layout_destroy)(void *layout);
    int (*preference_create)(void **preference);
    int (*preference_set)(void *preference, int attribute, const void *value, size_t n_bytes);
    int (*preference_destroy)(void *preference);
    int (*choose)(void *handle, void *product, void *a, void *b, void *c, void *d, void *preference,
                  int n_wanted, struct lt_choice *out, int *n_found);
    int (*multiply)(void *handle, void *product, const void *alpha, const void *a, void *la,
                    const void *b, void *lb, const void *beta, const void *c, void *lc, void *d,
                    void *ld, const uint64_t *algorithm, void *workspace, size_t workspace_bytes,
                    void *stream);
};

/* Opens libcuda. ERR_UNSUPPORTED: it is not there, or too old, and what to do. */
bool driver_load(struct driver *d, struct err *err) CRIA_CHECK;
/* Opens libcublasLt; false if there is none: our own kernels then do all products. */
bool blas_load(struct blas *b);

#endif
