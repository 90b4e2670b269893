/* LD_PRELOAD: a disk that refuses, below one folder and for as long as a file says.
 *
 * LINNET_FAULT_FOLDER: files below it are on that disk. LINNET_FAULT_SWITCH: a file whose first byte says
 * what the disk does: F full (ENOSPC), B broken (EIO), R read-only (EROFS); anything else, or no file: it works.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int fault(void) {
    const char *file = getenv("LINNET_FAULT_SWITCH");
    char mode = 0;
    if (!file) return 0;
    int saved = errno, fd = REAL(open)(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &mode, 1) != 1) mode = 0;
        close(fd);
    }
    errno = saved;
    return mode == 'F' ? ENOSPC : mode == 'B' ? EIO : mode == 'R' ? EROFS : 0;
}

static int below(const char *path) {
    const char *folder = getenv("LINNET_FAULT_FOLDER");
    char whole[PATH_MAX];
    if (!folder || !path) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        if (snprintf(whole, sizeof whole, "%s/%s", here, path) >= (int)sizeof whole) return 0;
        path = whole;
    }
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int fd_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(path);
}

/* A full or broken disk refuses bytes; a read-only one refuses that a file is opened for writing. */
#define REFUSE_FD(fd) \
    int why = fd_below(fd) ? fault() : 0; \
    if (why && why != EROFS) { errno = why; return -1; }
#define REFUSE_CHANGE(path) \
    if (below(path)) { int why = fault(); if (why == EROFS || why == EIO) { errno = why; return -1; } }

ssize_t write(int fd, const void *data, size_t size) { REFUSE_FD(fd) return REAL(write)(fd, data, size); }
ssize_t writev(int fd, const struct iovec *parts, int count) { REFUSE_FD(fd) return REAL(writev)(fd, parts, count); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { REFUSE_FD(fd) return REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { REFUSE_FD(fd) return REAL(pwrite64)(fd, data, size, at); }
int fsync(int fd) { REFUSE_FD(fd) return REAL(fsync)(fd); }
int fdatasync(int fd) { REFUSE_FD(fd) return REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { REFUSE_CHANGE(to) return REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { REFUSE_CHANGE(to) return REAL(renameat)(a, from, b, to); }
int mkdir(const char *path, mode_t mode) { REFUSE_CHANGE(path) return REAL(mkdir)(path, mode); }

#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
#define REFUSE_OPEN if ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT) { REFUSE_CHANGE(path) }
int open(const char *path, int flags, ...) { MODE REFUSE_OPEN return REAL(open)(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE REFUSE_OPEN return REAL(open64)(path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE REFUSE_OPEN return REAL(openat)(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE REFUSE_OPEN return REAL(openat64)(at, path, flags, mode); }
