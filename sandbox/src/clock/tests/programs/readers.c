// Reads the clock in every way there is and prints `name seconds` lines.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void show(const char *name, long seconds) { printf("%s %ld\n", name, seconds); }

static void *in_thread(void *unused)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	show("thread", t.tv_sec);
	return unused;
}

int main(void)
{
	struct timespec t;
	struct timeval v;
	time_t where = 0;
	pthread_t thread;
	struct { const char *name; clockid_t clock; } clocks[] = {
		{"realtime", CLOCK_REALTIME}, {"coarse", CLOCK_REALTIME_COARSE}, {"tai", CLOCK_TAI},
		{"alarm", CLOCK_REALTIME_ALARM}, {"monotonic", CLOCK_MONOTONIC}, {"boottime", CLOCK_BOOTTIME},
	};
	char name[64];
	for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
		if (clock_gettime(clocks[i].clock, &t) == 0) {
			show(clocks[i].name, t.tv_sec);
		}
		if (syscall(SYS_clock_gettime, clocks[i].clock, &t, 0, 0, 0, 0) == 0) {
			snprintf(name, sizeof name, "raw-%s", clocks[i].name);
			show(name, t.tv_sec);
		}
	}
	gettimeofday(&v, 0);
	show("gettimeofday", v.tv_sec);
	syscall(SYS_gettimeofday, &v, 0, 0, 0, 0, 0);
	show("raw-gettimeofday", v.tv_sec);
	show("time", time(0));
	time(&where);
	show("time-stored", where);
	show("raw-time", syscall(SYS_time, 0, 0, 0, 0, 0, 0));
	syscall(SYS_time, &where, 0, 0, 0, 0, 0);
	show("raw-time-stored", where);
	pthread_create(&thread, 0, in_thread, 0);
	pthread_join(thread, 0);
	// Errors are the kernel's own.
	show("raw-fault", syscall(SYS_clock_gettime, CLOCK_REALTIME, 8, 0, 0, 0, 0));
	show("raw-gettimeofday-nowhere", syscall(SYS_gettimeofday, 0, 0, 0, 0, 0, 0));
	return 0;
}
