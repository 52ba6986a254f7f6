/* Reads the clock and the times of files in the ways that programs do, and prints `NAME SECONDS` a line.
 * readers PREFIX FILE: FILE was written just now. Part of the coverage table of scripts/bench. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *prefix;
static void show(const char *name, long long seconds) { printf("%s-%s %lld\n", prefix, name, seconds); fflush(stdout); }

int main(int argc, char **argv)
{
	struct timespec t = {0}, from, to, set[2] = {{0, UTIME_OMIT}, {0, 7}};
	struct timeval v = {0};
	struct stat s = {0};
	if (argc < 3)
		return 2;
	prefix = argv[1];
	clock_gettime(CLOCK_REALTIME, &t);
	show("clock_gettime", t.tv_sec);
	clock_gettime(CLOCK_TAI, &t);
	show("tai", t.tv_sec);
	gettimeofday(&v, 0);
	show("gettimeofday", v.tv_sec);
	show("time", time(0));
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
	show("raw", t.tv_sec);
	stat(argv[2], &s);
	show("stat", s.st_mtime);
#ifdef __GLIBC__
	struct statx x = {0};
	statx(AT_FDCWD, argv[2], 0, STATX_BTIME, &x);
	show("btime", x.stx_btime.tv_sec);
#endif
	/* what is set is what is got: a month before what the clock says */
	set[1].tv_sec = time(0) - 30 * 86400;
	utimensat(AT_FDCWD, argv[2], set, 0);
	stat(argv[2], &s);
	show("roundtrip", s.st_mtim.tv_sec == set[1].tv_sec && s.st_mtim.tv_nsec == 7);
	/* a wait until the wall clock says one second later, in milliseconds of the other clock */
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	clock_gettime(CLOCK_MONOTONIC, &from);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec++;
	pthread_mutex_lock(&lock);
	while (pthread_cond_timedwait(&never, &lock, &t) == 0)
		;
	clock_gettime(CLOCK_MONOTONIC, &to);
	show("wait", (to.tv_sec - from.tv_sec) * 1000LL + (to.tv_nsec - from.tv_nsec) / 1000000);
	return 0;
}
