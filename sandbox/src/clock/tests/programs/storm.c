/* Threads that ask for the times of files they make, patched and not, while signals whose handler asks too
 * rain on them and children come and go. Ends with the number of wrong answers. storm FOLDER ROUNDS */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_int wrong, signals;
static int rounds;
static const char *folder;
static int fresh;

static void check(int ok) {
	if (!ok)
		wrong++;
}

static long raw_fstat(int fd, struct stat *s) {
	register long r9 __asm__("r9") = 5;
	long rc;
	__asm__ volatile("nop; syscall" : "=a"(rc), "+r"(r9) : "a"(SYS_fstat), "D"(fd), "S"(s) : "rcx", "r11", "memory");
	check(r9 == 5);
	return rc;
}

static int is_now(time_t t) {
	return labs(t - time(0)) <= 60;
}

static void on_alarm(int sig) {
	struct stat s;
	signals++;
	check(!fstat(fresh, &s) && is_now(s.st_mtime));
	check(!raw_fstat(fresh, &s) && is_now(s.st_mtime));
}

static void *work(void *arg) {
	char name[256];
	snprintf(name, sizeof name, "%s/f%ld", folder, (long)arg);
	for (int i = 0; i < rounds; i++) {
		struct stat s, t;
		struct timespec now[2];
		int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
		check(fd >= 0 && !fstat(fd, &s) && is_now(s.st_mtime) && is_now(s.st_ctime));
		check(!raw_fstat(fd, &t) && t.st_ino == s.st_ino && is_now(t.st_mtime));
		check(!syscall(SYS_newfstatat, AT_FDCWD, name, &t, 0) && t.st_mtime == s.st_mtime);
		check(!stat("/", &t) && !lstat(folder, &t));
		clock_gettime(CLOCK_REALTIME, &now[0]);
		now[0].tv_sec -= i % 3 * 10 * 86400;
		now[1] = now[0];
		check(!futimens(fd, now) && !fstat(fd, &t) && t.st_mtim.tv_sec == now[0].tv_sec && t.st_mtim.tv_nsec == now[0].tv_nsec);
		close(fd);
	}
	return 0;
}

int main(int argc, char **argv) {
	pthread_t threads[8];
	char name[256];
	if (argc < 3)
		return 2;
	folder = argv[1];
	rounds = atoi(argv[2]);
	snprintf(name, sizeof name, "%s/fresh", folder);
	fresh = open(name, O_RDWR | O_CREAT, 0600);
	struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &act, 0);
	struct itimerval every = {{0, 700}, {0, 700}};
	setitimer(ITIMER_REAL, &every, 0);
	for (long i = 0; i < 8; i++)
		if (pthread_create(&threads[i], 0, work, (void *)i))
			return 3;
	for (int i = 0; i < rounds / 2; i++) {
		pid_t child = i % 2 ? fork() : vfork();
		if (child == 0) {
			if (i % 4 == 1) {
				struct stat s;
				_exit(fstat(fresh, &s) || !is_now(s.st_mtime));
			}
			execl("/usr/bin/test", "test", "-e", name, (char *)0);
			_exit(9);
		}
		int status;
		while (waitpid(child, &status, 0) < 0)
			;
		check(status == 0);
	}
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], 0);
	every = (struct itimerval){{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &every, 0);
	printf("%d wrong, %s\n", wrong, signals > 10 ? "signals" : "no signals");
	return wrong != 0;
}
