/* Counts the heap allocations of each thread; preloaded with LD_PRELOAD, asked through `heap_allocations`.
 *
 * malloc, calloc and realloc of glibc count one each, whoever calls them: with PYTHONMALLOC=malloc that is every object
 * of CPython, too. What a free list gives (CPython keeps some floats, tuples, frames) is no allocation.
 */
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

/* The initial-exec model needs no allocation of its own at the first use in a thread. */
static __thread unsigned long long allocations __attribute__((tls_model("initial-exec")));

unsigned long long heap_allocations(void) { return allocations; }

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    allocations++;
    return __libc_realloc(old, size);
}
