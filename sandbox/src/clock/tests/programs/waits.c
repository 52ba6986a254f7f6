// Waits in the way that ARGV[1] names until SECONDS from now (ARGV[2]) by the wall clock, and prints
// `ANSWER MILLISECONDS` by the monotonic one. ARGV[3], if given, sends a signal every 10 ms:
// `restart` or `interrupt` says what its handler does to system calls.
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
#include <time.h>
#include <unistd.h>

static struct timespec until;
static pthread_mutex_t mutex;

static double milliseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void on_signal(int unused) { (void)unused; }

static void *hold_mutex(void *unused)
{
	pthread_mutex_lock(&mutex);
	pause();
	for (;;)
		pause();
	return unused;
}

static void *own_word(void *word)
{
	syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, 0, 0, 0);
	for (;;)
		pause();
	return 0;
}

static void *wake(void *word)
{
	usleep(300000);
	__atomic_store_n((uint32_t *)word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE_BITSET, 1, 0, 0, FUTEX_BITSET_MATCH_ANY);
	return 0;
}

// Registers that a system call keeps must be kept also by one that took the detour.
static long kept(long number, long a, long b, long c, long d, long e, long f)
{
	register long rdi __asm__("rdi") = a, rsi __asm__("rsi") = b, rdx __asm__("rdx") = c;
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	register long rbx __asm__("rbx") = 0x1111, r12 __asm__("r12") = 0x2222, r15 __asm__("r15") = 0x3333;
	long result = number;
	__asm__ volatile("syscall"
			 : "+a"(result), "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8), "+r"(r9), "+r"(rbx), "+r"(r12), "+r"(r15)
			 :
			 : "rcx", "r11", "memory");
	if (rdi != a || rsi != b || rdx != c || r10 != d || r8 != e || r9 != f || rbx != 0x1111 || r12 != 0x2222 || r15 != 0x3333) {
		printf("registers were lost\n");
		exit(1);
	}
	return result;
}

static int answer(long result) { return result == 0 ? 0 : result < 0 ? (int)-result : -1; }

static int wait_as(const char *how)
{
	uint32_t word = 0;
	if (!strcmp(how, "cond")) {
		pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
		pthread_cond_t c = PTHREAD_COND_INITIALIZER;
		pthread_mutex_lock(&m);
		int r;
		while ((r = pthread_cond_timedwait(&c, &m, &until)) == 0)
			;
		return r;
	}
	if (!strcmp(how, "sem")) {
		sem_t s;
		sem_init(&s, 0, 0);
		while (sem_timedwait(&s, &until) && errno == EINTR)
			;
		return errno;
	}
	if (!strcmp(how, "nanosleep")) {
		int r;
		while ((r = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, 0)) == EINTR)
			;
		return r;
	}
	if (!strcmp(how, "tai-nanosleep")) {
		struct timespec tai, real;
		clock_gettime(CLOCK_TAI, &tai);
		clock_gettime(CLOCK_REALTIME, &real);
		until.tv_sec += tai.tv_sec - real.tv_sec;
		int r;
		while ((r = clock_nanosleep(CLOCK_TAI, TIMER_ABSTIME, &until, 0)) == EINTR)
			;
		return r;
	}
	if (!strcmp(how, "raw-nanosleep")) {
		return answer(kept(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, (long)&until, 0, 77, 88));
	}
	if (!strcmp(how, "timerfd")) {
		int timer = timerfd_create(CLOCK_REALTIME, 0);
		struct itimerspec t = {{5, 0}, until}, old;
		uint64_t fired;
		if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, 0) || timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, &old))
			return errno;
		// The earlier setting is told in relative time.
		if (old.it_interval.tv_sec != 5 || old.it_value.tv_sec > 60)
			return 1000;
		while (read(timer, &fired, sizeof fired) < 0 && errno == EINTR)
			;
		return fired >= 1 ? 0 : 1001;
	}
	if (!strcmp(how, "timerfd-cancel") || !strcmp(how, "timerfd-alarm")) {
		// Nobody sets the machine's clock here, so it is not cancelled.
		int alarm = !strcmp(how, "timerfd-alarm");
		int timer = timerfd_create(alarm ? CLOCK_REALTIME_ALARM : CLOCK_REALTIME, 0);
		struct itimerspec t = {{0, 0}, until}, left;
		uint64_t fired;
		if (timer < 0)
			return errno; // EPERM: an alarm clock is for those who may wake the machine
		if (timerfd_settime(timer, TFD_TIMER_ABSTIME | (alarm ? 0 : 2), &t, 0) || timerfd_gettime(timer, &left))
			return errno;
		if (left.it_value.tv_sec > 60)
			return 1000;
		while (read(timer, &fired, sizeof fired) < 0)
			if (errno != EINTR)
				return errno;
		return fired == 1 ? 0 : 1001;
	}
	if (!strcmp(how, "timer") || !strcmp(how, "tai-timer")) {
		struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
		struct itimerspec t = {{0, 0}, until}, left;
		sigset_t set;
		timer_t first, timer;
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigprocmask(SIG_BLOCK, &set, 0);
		// Another timer, of the other clock, must stay what it is.
		struct itimerspec far = {{0, 0}, {0, 0}};
		clock_gettime(CLOCK_MONOTONIC, &far.it_value);
		far.it_value.tv_sec += 1000;
		if (timer_create(CLOCK_MONOTONIC, &event, &first) || timer_settime(first, TIMER_ABSTIME, &far, 0))
			return errno;
		clockid_t clock = CLOCK_REALTIME;
		if (!strcmp(how, "tai-timer")) {
			struct timespec tai;
			clock_gettime(clock = CLOCK_TAI, &tai);
			clock_gettime(CLOCK_REALTIME, &far.it_value);
			t.it_value.tv_sec += tai.tv_sec - far.it_value.tv_sec;
		}
		// The second setting tells the first, in relative time.
		struct itimerspec old = {{0, 0}, {0, 0}};
		if (timer_create(clock, &event, &timer) || timer_settime(timer, TIMER_ABSTIME, &t, 0) ||
		    timer_settime(timer, TIMER_ABSTIME, &t, &old))
			return errno;
		if (old.it_value.tv_sec > 60)
			return 1002;
		timer_gettime(first, &left);
		if (left.it_value.tv_sec < 900 || left.it_value.tv_sec > 1000)
			return 1000;
		timer_gettime(timer, &left);
		if (left.it_value.tv_sec > 60)
			return 1001;
		while (sigwaitinfo(&set, 0) < 0)
			;
		return 0;
	}
	if (!strcmp(how, "mq-receive") || !strcmp(how, "mq-send")) {
		char name[32], text[16] = "";
		struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = sizeof text};
		snprintf(name, sizeof name, "/belljar-test-%d", getpid());
		mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
		if (queue < 0)
			return errno;
		mq_unlink(name);
		ssize_t r;
		if (!strcmp(how, "mq-receive")) {
			while ((r = mq_timedreceive(queue, text, sizeof text, 0, &until)) < 0 && errno == EINTR)
				;
		} else {
			mq_send(queue, text, 1, 0);
			while ((r = mq_timedsend(queue, text, 1, 0, &until)) < 0 && errno == EINTR)
				;
		}
		return r < 0 ? errno : 1000;
	}
	if (!strcmp(how, "mutex") || !strcmp(how, "pi-mutex")) {
		pthread_mutexattr_t attr;
		pthread_t thread;
		pthread_mutexattr_init(&attr);
		if (!strcmp(how, "pi-mutex"))
			pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
		pthread_mutex_init(&mutex, &attr);
		pthread_create(&thread, 0, hold_mutex, 0);
		while (pthread_mutex_trylock(&mutex) == 0) {
			pthread_mutex_unlock(&mutex);
			usleep(1000);
		}
		return pthread_mutex_timedlock(&mutex, &until);
	}
	if (!strcmp(how, "bitset"))
		return answer(kept(SYS_futex, (long)&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, (long)&until, 0, -1));
	if (!strcmp(how, "requeue-pi")) {
		uint32_t lock = 0;
		return answer(kept(SYS_futex, (long)&word, FUTEX_WAIT_REQUEUE_PI | FUTEX_CLOCK_REALTIME, 0, (long)&until, (long)&lock, 0));
	}
	if (!strcmp(how, "lock-pi2")) {
		pthread_t thread;
		pthread_create(&thread, 0, own_word, &word);
		while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
			usleep(1000);
		return answer(kept(SYS_futex, (long)&word, 13 | FUTEX_CLOCK_REALTIME, 0, (long)&until, 0, 0));
	}
	if (!strcmp(how, "woken-waitv")) {
		pthread_t thread;
		uint32_t idle = 7;
		pthread_create(&thread, 0, wake, &word);
		until.tv_sec += 600;
		struct { uint64_t value, word; uint32_t flags, reserved; } waiters[2] = {{7, (uint64_t)&idle, 2, 0}, {0, (uint64_t)&word, 2, 0}};
		long r = kept(449, (long)waiters, 2, 0, (long)&until, CLOCK_REALTIME, 99);
		return r == 1 ? 0 : answer(r); // the index of the woken
	}
	if (!strcmp(how, "woken")) {
		pthread_t thread;
		pthread_create(&thread, 0, wake, &word);
		until.tv_sec += 600;
		return answer(kept(SYS_futex, (long)&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, (long)&until, 0, -1));
	}
	if (!strcmp(how, "waitv")) {
		struct { uint64_t value, word; uint32_t flags, reserved; } waiter = {0, (uint64_t)&word, 2, 0};
		return answer(kept(449, (long)&waiter, 1, 0, (long)&until, CLOCK_REALTIME, 99));
	}
	if (!strcmp(how, "futex-wait")) // Linux 6.7; flags: 32 bits, private
		return answer(kept(455, (long)&word, 0, 0xffffffff, 2 | 128, (long)&until, CLOCK_REALTIME));
	if (!strcmp(how, "invalid")) {
		until.tv_nsec = 1000000000;
		return answer(kept(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, (long)&until, 0, 0, 0));
	}
	if (!strcmp(how, "nowhere"))
		return answer(kept(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, 8, 0, 0, 0));
	if (!strcmp(how, "disarmed")) {
		int timer = timerfd_create(CLOCK_REALTIME, 0);
		struct itimerspec t = {{0, 0}, until}, none = {{0, 0}, {0, 0}};
		struct pollfd p = {timer, POLLIN, 0};
		if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, 0) || timerfd_settime(timer, TFD_TIMER_ABSTIME, &none, 0))
			return errno;
		return poll(&p, 1, 1000);
	}
	if (!strcmp(how, "not-a-timer"))
		return answer(kept(SYS_timerfd_settime, 0, TFD_TIMER_ABSTIME, (long)&(struct itimerspec){{0, 0}, until}, 0, 0, 0));
	return 2000;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (argc > 3) {
		struct sigaction action = {.sa_handler = on_signal};
		struct itimerval often = {{0, 10000}, {0, 10000}};
		if (!strcmp(argv[3], "restart"))
			action.sa_flags = SA_RESTART;
		sigaction(SIGALRM, &action, 0);
		setitimer(ITIMER_REAL, &often, 0);
	}
	double start = milliseconds(), seconds = atof(argv[2]);
	clock_gettime(CLOCK_REALTIME, &until);
	long nanos = until.tv_nsec + (long)((seconds - (long)seconds) * 1e9);
	until.tv_sec += (long)seconds + nanos / 1000000000;
	until.tv_nsec = nanos % 1000000000;
	int r = wait_as(argv[1]);
	printf("%d %.0f\n", r, milliseconds() - start);
	return 0;
}
