/* Makes a file and prints its times as each way of asking tells them: "way mtime ctime atime btime",
 * btime 0 where that way has none. Then sets times and reads them back: "set what wanted got". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

/* Not every C library has it. */
struct status {
	unsigned char before[64];
	struct { long long tv_sec; unsigned tv_nsec; int pad; } atime, btime, ctime, mtime;
	unsigned char after[128];
};

static void show(const char *way, const struct stat *s, int rc) {
	if (rc)
		printf("%s %d 0 0 0\n", way, -errno);
	else
		printf("%s %ld %ld %ld 0\n", way, (long)s->st_mtim.tv_sec, (long)s->st_ctim.tv_sec, (long)s->st_atim.tv_sec);
}

static void showx(const char *way, const struct status *s, long rc) {
	if (rc)
		printf("%s %d 0 0 0\n", way, -errno);
	else
		printf("%s %ld %ld %ld %ld\n", way, (long)s->mtime.tv_sec, (long)s->ctime.tv_sec, (long)s->atime.tv_sec, (long)s->btime.tv_sec);
}

/* Number in a register that no site sets just before the call. */
static long raw(long nr, long a, long b, long c, long d, long e) {
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 77;
	long rc;
	__asm__ volatile("nop; syscall" : "=a"(rc), "+r"(r9) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	if (r9 != 77)
		abort();
	if (rc < 0) {
		errno = -rc;
		return -1;
	}
	return rc;
}

static int fd;
static const char *name;

static void read_back(const char *what, long atime, long mtime) {
	struct stat s;
	if (stat(name, &s))
		abort();
	printf("set %s-atime %ld %ld\n", what, atime, (long)s.st_atim.tv_sec);
	printf("set %s-mtime %ld %ld\n", what, mtime, (long)s.st_mtim.tv_sec);
	if (fstat(fd, &s))
		abort();
	printf("set %s-fstat %ld %ld\n", what, mtime, (long)s.st_mtim.tv_sec);
}

int main(int argc, char **argv) {
	struct stat s;
	struct status x;
	if (argc < 2)
		return 2;
	name = argv[1];
	fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		return 3;
	for (int round = 0; round < 2; round++) {
		show("stat", &s, stat(name, &s));
		show("lstat", &s, lstat(name, &s));
		show("fstat", &s, fstat(fd, &s));
		show("fstatat", &s, fstatat(AT_FDCWD, name, &s, 0));
		show("fstatat-empty", &s, fstatat(fd, "", &s, AT_EMPTY_PATH));
		show("syscall-stat", &s, syscall(SYS_stat, name, &s));
		show("syscall-newfstatat", &s, syscall(SYS_newfstatat, AT_FDCWD, name, &s, 0));
		showx("syscall-statx", &x, syscall(SYS_statx, AT_FDCWD, name, 0, 0xfff, &x));
		show("raw-stat", &s, raw(SYS_stat, (long)name, (long)&s, 0, 0, 0));
		show("raw-lstat", &s, raw(SYS_lstat, (long)name, (long)&s, 0, 0, 0));
		show("raw-fstat", &s, raw(SYS_fstat, fd, (long)&s, 0, 0, 0));
		show("raw-newfstatat", &s, raw(SYS_newfstatat, AT_FDCWD, (long)name, (long)&s, 0, 0));
		showx("raw-statx", &x, raw(SYS_statx, AT_FDCWD, (long)name, 0, 0xfff, (long)&x));
#ifdef __GLIBC__
		showx("statx", &x, statx(AT_FDCWD, name, 0, STATX_ALL, (void *)&x));
#endif
	}
	show("none", &s, stat("/nonexistent/file", &s));
	show("bad-pointer", &s, raw(SYS_stat, (long)name, 8, 0, 0, 0));
	show("bad-descriptor", &s, fstat(-1, &s));
	printf("pid %d\n", syscall(SYS_getpid) == getpid());

	long now = time(0), year = 31536000;
	struct { const char *what; long t; } cases[] = {
		{"epoch", 0}, {"old", 86400}, {"month-ago", now - 30 * 86400}, {"year-ago", now - year}, {"now", now},
		{"hour-ahead", now + 3600}, {"year-ahead", now + year}, {"far", now + 40 * year}, {"before-1970", -1000},
	};
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		long t = cases[i].t;
		struct timespec ns[2] = {{t - 5, 1}, {t, 999999999}};
		struct timeval us[2] = {{t - 5, 1}, {t, 999999}};
		struct utimbuf u = {t - 5, t};
		if (utimensat(AT_FDCWD, name, ns, 0) == 0)
			read_back(cases[i].what, t - 5, t);
		if (raw(SYS_utimensat, fd, 0, (long)ns, 0, 0) == 0)
			read_back("raw-utimensat", t - 5, t);
		if (raw(SYS_utimes, (long)name, (long)us, 0, 0, 0) == 0)
			read_back("raw-utimes", t - 5, t);
		if (raw(SYS_futimesat, AT_FDCWD, (long)name, (long)us, 0, 0) == 0)
			read_back("raw-futimesat", t - 5, t);
		if (raw(SYS_utime, (long)name, (long)&u, 0, 0, 0) == 0)
			read_back("raw-utime", t - 5, t);
		if (ns[0].tv_sec != t - 5 || us[1].tv_sec != t || u.modtime != t)
			abort();
	}
	struct timespec special[2] = {{1234, 5}, {5678, UTIME_OMIT}};
	struct timespec both[2] = {{4321, 0}, {8765, 0}};
	if (futimens(fd, both) || futimens(fd, special))
		abort();
	read_back("omit", 1234, 8765);
	special[1].tv_nsec = UTIME_NOW;
	if (futimens(fd, special) || fstat(fd, &s))
		abort();
	printf("set utime-now-near %d %d\n", 1, labs(s.st_mtim.tv_sec - time(0)) <= 2);
	if (futimens(fd, 0) || fstat(fd, &s))
		abort();
	printf("set null-near %d %d\n", 1, labs(s.st_mtim.tv_sec - time(0)) <= 2);
	special[0].tv_nsec = 2000000000;
	printf("set invalid %d %d\n", -EINVAL, futimens(fd, special) ? -errno : 0);
	printf("set bad-pointer %d %d\n", -EFAULT, raw(SYS_utimensat, fd, 0, 8, 0, 0) ? -errno : 0);
	return 0;
}
