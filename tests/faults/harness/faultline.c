/* A shim between a process and the C library: it records, fails or cuts short every change to files below one folder.
 *
 * It is preloaded (LD_PRELOAD) and does nothing until faultline_start is called, which a forked child does through
 * ctypes. What Python, SQLite and the Rust and C++ parts of safetensors, Arrow and Lance do to files goes through it
 * alike. A change is a call that creates, writes, truncates, syncs, renames, links or removes; calls are counted from 1.
 *
 * Renames that reach the kernel without the C library (Rust's rustix makes some) are not seen; a sync therefore records
 * the file's present path, from which the reader infers them.
 *
 * The trace is a stream of records: a line of text, for a write followed by its bytes.
 *   create INO PATH | write INO OFFSET LENGTH | truncate INO LENGTH | sync INO PATH | syncdir PATH | rename FROM TO |
 *   link FROM TO | unlink PATH | mkdir PATH | rmdir PATH | mark TEXT     (paths: bytes in hex)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

enum { CREATE = 1, WRITE = 2, TRUNCATE = 4, SYNC = 8, RENAME = 16, UNLINK = 32, MKDIR = 64 };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static char root[4096];
static size_t root_length;
static int active, trace = -1, failure;
static long count, kill_at, fail_at, fail_count, failed;
static int fail_kinds;
static __thread int inside;

EXPORT void faultline_start(const char *folder, int trace_fd, long kill_before, long fail_from, long fail_many,
                            int error, int kinds) {
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    trace = trace_fd, kill_at = kill_before, fail_at = fail_from, fail_count = fail_many;
    failure = error, fail_kinds = kinds, count = failed = 0;
    active = 1;
}

EXPORT void faultline_stop(void) { active = 0; }
EXPORT long faultline_count(void) { return count; }
EXPORT long faultline_failed(void) { return failed; }

static void put(const void *data, size_t length) {
    const char *place = data;
    while (length && trace >= 0) {
        long done = syscall(SYS_write, trace, place, length);
        if (done <= 0) return;
        place += done, length -= (size_t)done;
    }
}

static void line(const char *format, ...) {
    char text[20000];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (length > 0 && (size_t)length < sizeof text) put(text, (size_t)length);
}

EXPORT void faultline_mark(const char *text) {
    pthread_mutex_lock(&guard);
    if (active) line("mark %s\n", text);
    pthread_mutex_unlock(&guard);
}

static int below(const char *path) {
    return active && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* The absolute path of a call's argument. */
static int absolute(int folder, const char *path, char *out, size_t size) {
    if (path[0] == '/') return snprintf(out, size, "%s", path) < (int)size;
    char link[64], base[4096];
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, base, sizeof base - 1);
    if (length <= 0) return 0;
    base[length] = 0;
    return snprintf(out, size, "%s/%s", base, path) < (int)size;
}

static int path_of(int fd, char *out, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, size - 1);
    if (length <= 0) return 0;
    out[length] = 0;
    return 1;
}

static const char *hex(const char *path) {
    static char text[2][8300];
    static int turn;
    char *out = text[turn ^= 1];
    size_t length = strlen(path);
    if (length > 4096) length = 4096;
    for (size_t i = 0; i < length; i++) sprintf(out + 2 * i, "%02x", (unsigned char)path[i]);
    out[2 * length] = 0;
    return out;
}

/* Count a change; kill the process before it, or say that it must fail. Call with the guard held. */
static int strike(int kind) {
    count++;
    if (kill_at && count == kill_at) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (fail_at && (kind & fail_kinds) && count >= fail_at && failed < fail_count) {
        failed++;
        errno = failure;
        return 1;
    }
    return 0;
}

static int watched_fd(int fd, struct stat *status, char *path, size_t size) {
    if (!active || inside || fd == trace) return 0;
    if (fstat(fd, status) || !(S_ISREG(status->st_mode) || S_ISDIR(status->st_mode))) return 0;
    return path_of(fd, path, size) && below(path);
}

static int do_open(int (*real)(int, const char *, int, mode_t), int folder, const char *path, int flags, mode_t mode) {
    char full[4096];
    int changes = flags & (O_CREAT | O_TRUNC);
    if (!active || inside || !changes || !absolute(folder, path, full, sizeof full) || !below(full))
        return real(folder, path, flags, mode);
    pthread_mutex_lock(&guard);
    struct stat status;
    int there = !lstat(full, &status);
    int result = -1;
    int creates = !there && (flags & O_CREAT), cuts = there && (flags & O_TRUNC) && status.st_size > 0;
    if (!(creates || cuts) || !strike(creates ? CREATE : TRUNCATE)) {
        result = real(folder, path, flags, mode);
        if (result >= 0 && !fstat(result, &status)) {
            if (creates) line("create %lu %s\n", (unsigned long)status.st_ino, hex(full));
            else if (cuts) line("truncate %lu 0\n", (unsigned long)status.st_ino);
        }
    }
    int saved = errno;
    pthread_mutex_unlock(&guard);
    errno = saved;
    return result;
}

static int real_openat(int folder, const char *path, int flags, mode_t mode) {
    REAL(int, openat64, int, const char *, int, ...);
    return real(folder, path, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list l; va_start(l, flags); mode = va_arg(l, mode_t); va_end(l); }

EXPORT int open(const char *path, int flags, ...) { MODE(flags) return do_open(real_openat, AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE(flags) return do_open(real_openat, AT_FDCWD, path, flags, mode); }
EXPORT int openat(int f, const char *path, int flags, ...) { MODE(flags) return do_open(real_openat, f, path, flags, mode); }
EXPORT int openat64(int f, const char *path, int flags, ...) { MODE(flags) return do_open(real_openat, f, path, flags, mode); }
EXPORT int creat(const char *path, mode_t mode) { return do_open(real_openat, AT_FDCWD, path, O_CREAT | O_TRUNC | O_WRONLY, mode); }
EXPORT int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* A write that is to fail first writes its first half, as a disk that fills up does; the rest then fails. */
static ssize_t do_write(int fd, const struct iovec *parts, int many, off_t offset) {
    REAL(ssize_t, pwritev64, int, const struct iovec *, int, off_t);
    static ssize_t (*plain)(int, const struct iovec *, int);
    if (!plain) plain = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    char path[4096];
    struct stat status;
    if (!watched_fd(fd, &status, path, sizeof path) || !S_ISREG(status.st_mode))
        return offset < 0 ? plain(fd, parts, many) : real(fd, parts, many, offset);
    pthread_mutex_lock(&guard);
    ssize_t result = -1;
    struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};
    int fails = strike(WRITE), cut = fails && failed == 1 && half.iov_len > 0 && failure == ENOSPC;
    if (!fails || cut) {
        off_t place = offset;
        if (offset < 0) {
            int flags = fcntl(fd, F_GETFL);
            fstat(fd, &status);
            place = flags & O_APPEND ? status.st_size : lseek(fd, 0, SEEK_CUR);
        }
        const struct iovec *given = cut ? &half : parts;
        int number = cut ? 1 : many;
        result = offset < 0 ? plain(fd, given, number) : real(fd, given, number, offset);
        if (result > 0) {
            line("write %lu %ld %ld\n", (unsigned long)status.st_ino, (long)place, (long)result);
            size_t left = (size_t)result;
            for (int i = 0; i < number && left; i++) {
                size_t take = given[i].iov_len < left ? given[i].iov_len : left;
                put(given[i].iov_base, take);
                left -= take;
            }
        }
    }
    int saved = errno;
    pthread_mutex_unlock(&guard);
    errno = saved;
    return result;
}

#define ONE struct iovec part = {(void *)data, size}
EXPORT ssize_t write(int fd, const void *data, size_t size) { ONE; return do_write(fd, &part, 1, -1); }
EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { ONE; return do_write(fd, &part, 1, at); }
EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { ONE; return do_write(fd, &part, 1, at); }
EXPORT ssize_t writev(int fd, const struct iovec *parts, int many) { return do_write(fd, parts, many, -1); }
EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int many, off_t at) { return do_write(fd, parts, many, at); }
EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int many, off_t at) { return do_write(fd, parts, many, at); }

/* Copying inside the kernel is refused where it is watched; callers then copy by reading and writing. */
EXPORT ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t size, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned);
    char path[4096];
    struct stat status;
    if (watched_fd(out, &status, path, sizeof path)) { errno = EXDEV; return -1; }
    return real(in, from, out, to, size, flags);
}
static ssize_t do_sendfile(int out, int in, off_t *from, size_t size) {
    REAL(ssize_t, sendfile64, int, int, off_t *, size_t);
    char path[4096];
    struct stat status;
    if (watched_fd(out, &status, path, sizeof path)) { errno = EINVAL; return -1; }
    return real(out, in, from, size);
}
EXPORT ssize_t sendfile(int out, int in, off_t *from, size_t size) { return do_sendfile(out, in, from, size); }
EXPORT ssize_t sendfile64(int out, int in, off_t *from, size_t size) { return do_sendfile(out, in, from, size); }

static int do_truncate(int fd, off_t size) {
    REAL(int, ftruncate64, int, off_t);
    char path[4096];
    struct stat status;
    if (!watched_fd(fd, &status, path, sizeof path)) return real(fd, size);
    pthread_mutex_lock(&guard);
    int result = strike(TRUNCATE) ? -1 : real(fd, size);
    if (!result) line("truncate %lu %ld\n", (unsigned long)status.st_ino, (long)size);
    int saved = errno;
    pthread_mutex_unlock(&guard);
    errno = saved;
    return result;
}
EXPORT int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }
EXPORT int ftruncate64(int fd, off_t size) { return do_truncate(fd, size); }

static int do_fallocate(int fd, off_t at, off_t size) {
    struct stat status;
    if (fstat(fd, &status)) return -1;
    return status.st_size >= at + size ? 0 : do_truncate(fd, at + size);
}
EXPORT int posix_fallocate(int fd, off_t at, off_t size) {
    REAL(int, posix_fallocate64, int, off_t, off_t);
    char path[4096];
    struct stat status;
    if (!watched_fd(fd, &status, path, sizeof path)) return real(fd, at, size);
    return do_fallocate(fd, at, size) ? errno : 0;
}
EXPORT int posix_fallocate64(int fd, off_t at, off_t size) { return posix_fallocate(fd, at, size); }

static int do_sync(int fd, int data_only) {
    static int (*full)(int), (*data)(int);
    if (!full) full = (int (*)(int))dlsym(RTLD_NEXT, "fsync"), data = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    char path[4096];
    struct stat status;
    if (!watched_fd(fd, &status, path, sizeof path)) return data_only ? data(fd) : full(fd);
    pthread_mutex_lock(&guard);
    /* The disk below the tests need not be waited for: what a sync promises is simulated, not relied on. */
    int result = strike(SYNC) ? -1 : 0;
    if (!result && S_ISDIR(status.st_mode)) line("syncdir %s\n", hex(path));
    else if (!result) line("sync %lu %s\n", (unsigned long)status.st_ino, hex(path));
    int saved = errno;
    pthread_mutex_unlock(&guard);
    errno = saved;
    return result;
}
EXPORT int fsync(int fd) { return do_sync(fd, 0); }
EXPORT int fdatasync(int fd) { return do_sync(fd, 1); }

static int two_paths(const char *what, int kind, int f, const char *from, int t, const char *to, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    static int (*joins)(int, const char *, int, const char *, int);
    if (!joins) joins = (int (*)(int, const char *, int, const char *, int))dlsym(RTLD_NEXT, "linkat");
    int is_rename = kind == RENAME;
    char first[4096], second[4096];
    int watched = active && !inside && absolute(f, from, first, sizeof first) && absolute(t, to, second, sizeof second)
                  && (below(first) || below(second));
    if (!watched) return is_rename ? real(f, from, t, to, flags) : joins(f, from, t, to, (int)flags);
    pthread_mutex_lock(&guard);
    int result = strike(kind) ? -1 : is_rename ? real(f, from, t, to, flags) : joins(f, from, t, to, (int)flags);
    if (!result) line("%s %s %s\n", what, hex(first), hex(second));
    int saved = errno;
    pthread_mutex_unlock(&guard);
    errno = saved;
    return result;
}
EXPORT int rename(const char *from, const char *to) { return two_paths("rename", RENAME, AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int f, const char *from, int t, const char *to) { return two_paths("rename", RENAME, f, from, t, to, 0); }
EXPORT int renameat2(int f, const char *from, int t, const char *to, unsigned flags) { return two_paths("rename", RENAME, f, from, t, to, flags); }
EXPORT int link(const char *from, const char *to) { return two_paths("link", CREATE, AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int linkat(int f, const char *from, int t, const char *to, int flags) { return two_paths("link", CREATE, f, from, t, to, (unsigned)flags); }

static int one_path(const char *what, int kind, int folder, const char *path, int argument) {
    static int (*removes)(int, const char *, int), (*makes)(int, const char *, mode_t);
    if (!removes) {
        removes = (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");
        makes = (int (*)(int, const char *, mode_t))dlsym(RTLD_NEXT, "mkdirat");
    }
    char full[4096];
    int watched = active && !inside && absolute(folder, path, full, sizeof full) && below(full);
    if (watched) pthread_mutex_lock(&guard);
    int result = watched && strike(kind) ? -1
                 : kind == MKDIR ? makes(folder, path, (mode_t)argument) : removes(folder, path, argument);
    if (!watched) return result;
    if (!result) line("%s %s\n", what, hex(full));
    int saved = errno;
    pthread_mutex_unlock(&guard);
    errno = saved;
    return result;
}
EXPORT int unlink(const char *path) { return one_path("unlink", UNLINK, AT_FDCWD, path, 0); }
EXPORT int rmdir(const char *path) { return one_path("rmdir", UNLINK, AT_FDCWD, path, AT_REMOVEDIR); }
EXPORT int remove(const char *path) {
    struct stat status;
    return !lstat(path, &status) && S_ISDIR(status.st_mode) ? rmdir(path) : unlink(path);
}
EXPORT int unlinkat(int f, const char *path, int flags) { return one_path(flags & AT_REMOVEDIR ? "rmdir" : "unlink", UNLINK, f, path, flags); }
EXPORT int mkdir(const char *path, mode_t mode) { return one_path("mkdir", MKDIR, AT_FDCWD, path, (int)mode); }
EXPORT int mkdirat(int f, const char *path, mode_t mode) { return one_path("mkdir", MKDIR, f, path, (int)mode); }
