/* LD_PRELOAD: a wall clock that a test sets; all processes with the same LINNET_CLOCK_FILE share it.
 *
 * The file holds nanoseconds (int64) that the wall clock is ahead; times of files, and monotonic clocks, are
 * the kernel's own. So a test moves from the past towards the present: no file seems older than it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead;
static int (*kernel)(clockid_t, struct timespec *);

__attribute__((constructor)) static void start(void) {
    kernel = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *file = getenv("LINNET_CLOCK_FILE");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *place = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    if (place != MAP_FAILED) ahead = place;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (!kernel) start();
    int failed = kernel(id, at);
    if (failed || !ahead || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return failed;
    int64_t whole = at->tv_sec * 1000000000LL + at->tv_nsec + *ahead;
    at->tv_sec = whole / 1000000000LL;
    at->tv_nsec = whole % 1000000000LL;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
