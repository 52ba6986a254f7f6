// What signals, stops, wakes and timers do to waits, told in words that do not depend on speed: the output is
// to be the same with the clock moved and without.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t caught;
static sem_t sem;
static pthread_mutex_t owned;

static void on_signal(int unused) { (void)unused, caught++; }

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static struct timespec in(double seconds)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += (long)(seconds * 1e9);
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *own(void *unused)
{
	pthread_mutex_lock(&owned);
	sem_post(&sem);
	for (;;)
		pause();
	return unused;
}

static int wait_by(int way)
{
	struct timespec until = in(0.4), rest = {0, 400000000};
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	uint32_t word = 0;
	uint64_t fired;
	char text[16];
	int r, fd;
	switch (way) {
	case 0: return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, 0);
	case 1: return nanosleep(&rest, &rest) ? errno + (rest.tv_nsec > 0 ? 1000 : 0) : 0;
	case 2: return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &until, 0, -1) ? errno : 0;
	case 3: return sem_timedwait(&sem, &until) ? errno : 0;
	case 4:
		pthread_mutex_lock(&mutex);
		r = pthread_cond_timedwait(&cond, &mutex, &until);
		pthread_mutex_unlock(&mutex);
		return r;
	case 5:
		fd = mq_open("/belljar-behave", O_CREAT | O_RDWR, 0600, &(struct mq_attr){.mq_maxmsg = 1, .mq_msgsize = 16});
		mq_unlink("/belljar-behave");
		r = mq_timedreceive(fd, text, sizeof text, 0, &until) < 0 ? errno : 0;
		mq_close(fd);
		return r;
	case 6: return pthread_mutex_timedlock(&owned, &until);
	case 7:
		fd = timerfd_create(CLOCK_REALTIME, 0);
		timerfd_settime(fd, TFD_TIMER_ABSTIME, &(struct itimerspec){{0, 0}, until}, 0);
		r = read(fd, &fired, 8) < 0 ? errno : 0;
		close(fd);
		return r;
	case 8: return ppoll(0, 0, &rest, 0) < 0 ? errno : 0;
	default: return -1;
	}
}

static void *post(void *unused)
{
	usleep(100000);
	sem_post(&sem);
	return unused;
}

static pid_t sleeper(double seconds)
{
	pid_t child = fork();
	if (child == 0) {
		struct timespec until = in(seconds);
		while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, 0) == EINTR)
			;
		_exit(0);
	}
	usleep(100000);
	return child;
}

int main(void)
{
	static const char *const ways[] = {"nanosleep", "relative", "futex", "sem", "cond", "mq", "pi-mutex", "timerfd", "ppoll"};
	pthread_mutexattr_t attr;
	pthread_t thread;
	sigset_t block;
	sem_init(&sem, 0, 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&owned, &attr);
	// The signals are for the first thread.
	sigfillset(&block);
	pthread_sigmask(SIG_BLOCK, &block, 0);
	pthread_create(&thread, 0, own, 0);
	sigemptyset(&block);
	pthread_sigmask(SIG_SETMASK, &block, 0);
	sem_wait(&sem);

	for (int flags = 0; flags < 2; flags++) {
		struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags ? SA_RESTART : 0};
		sigaction(SIGALRM, &action, 0);
		for (int way = 0; way < 9; way++) {
			struct itimerval once = {{0, 0}, {0, 150000}};
			double start = now();
			caught = 0;
			setitimer(ITIMER_REAL, &once, 0);
			int r = wait_by(way);
			double took = now() - start;
			printf("%s %s: %d, caught %d, %s\n", ways[way], flags ? "restart" : "interrupt", r, (int)caught,
			       took < 0.4 ? "early" : took < 30 ? "in time" : "late");
		}
	}

	struct itimerval far = {{0, 0}, {10, 0}}, left;
	setitimer(ITIMER_REAL, &far, 0);
	getitimer(ITIMER_REAL, &left);
	printf("getitimer %s\n", left.it_value.tv_sec >= 5 && left.it_value.tv_sec <= 10 ? "ten" : "other");
	unsigned before = alarm(0);
	printf("alarm %s\n", before >= 5 && before <= 10 ? "ten" : "other");

	double start = now();
	pthread_create(&thread, 0, post, 0);
	struct timespec until = in(600);
	int r = sem_timedwait(&sem, &until);
	printf("posted %d %s\n", r, now() - start < 60 ? "early" : "late");

	int status;
	pid_t child = sleeper(0.5);
	start = now();
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	printf("stopped %d\n", WIFSTOPPED(status));
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
	printf("continued %d %s\n", status, now() - start < 30 ? "in time" : "late");

	child = sleeper(600);
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	printf("ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);

	static volatile int shared;
	child = vfork();
	if (child == 0) {
		shared = (int)syscall(SYS_clock_gettime, CLOCK_REALTIME, &until, 0, 0, 0, 0) + 7;
		_exit(3);
	}
	waitpid(child, &status, 0);
	printf("vfork %d %d\n", shared, WEXITSTATUS(status));
	return 0;
}
