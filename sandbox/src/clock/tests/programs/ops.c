/* Makes random file operations in an empty folder and prints after each what the times then are, as
 * distances from its own clock: "N" for now, else seconds from the start; old absolute times as they are.
 * Times of access that the kernel itself keeps (relatime) are left out: it compares what is stored.
 * What was there before the program is told as such: inputs keep their times.
 * ops FOLDER SEED COUNT [no-atime]: reading an input may or may not renew its time of access. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static uint64_t state;
static time_t start;
static int no_atime;
static struct timespec begun;

static unsigned pick(unsigned n) {
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % n;
}

static char *name(void) {
	static char names[4][16];
	static int next;
	char *s = names[next++ % 4];
	snprintf(s, 16, "%s%c", pick(3) ? "" : "d/", 'a' + pick(6));
	return s;
}

static time_t when(void) {
	static const long distances[] = {-3600, 3600, -30 * 86400, -399 * 86400, -401 * 86400, 400 * 86400, -2000 * 86400, 20 * 86400, 30000 * 86400L};
	return pick(4) ? start + distances[pick(9)] : 86400 * (time_t)(1 + pick(9));
}

static void show(const char *what, struct timespec t) {
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (t.tv_sec >= 1000000 && what[0] == 'c' && (t.tv_sec < begun.tv_sec || (t.tv_sec == begun.tv_sec && t.tv_nsec < begun.tv_nsec)))
		printf(" %s=input", what);
	else if (labs(t.tv_sec - now.tv_sec) <= 60)
		printf(" %s=N", what);
	else
		printf(" %s=%ld", what, (long)(t.tv_sec < 1000000 && t.tv_sec >= 0 ? t.tv_sec : t.tv_sec - start));
}

static void look(const char *path) {
	struct stat s;
	printf(" [%s", path);
	if (lstat(path, &s))
		printf(" none");
	else {
		show("m", s.st_mtim);
		show("c", s.st_ctim);
		if (!S_ISLNK(s.st_mode) && !no_atime)
			show("a", s.st_atim);
	}
	printf("]");
}

int main(int argc, char **argv) {
	/* the clock that the kernel stamps by: a file made from now on is not older */
	clock_gettime(CLOCK_REALTIME_COARSE, &begun);
	if (argc < 4 || chdir(argv[1]) || (mkdir("d", 0700) && errno != EEXIST))
		return 2;
	state = strtoull(argv[2], 0, 10);
	no_atime = argc > 4;
	start = time(0);
	for (int i = atoi(argv[3]); i > 0; i--) {
		char *a = name(), *b = name();
		struct stat s;
		struct timespec ts[2] = {{when(), 5}, {when(), 7}};
		struct timeval tv[2] = {{ts[0].tv_sec, 5}, {ts[1].tv_sec, 7}};
		struct utimbuf u = {ts[0].tv_sec, ts[1].tv_sec};
		int fd = -1, rc = 0;
		unsigned op = pick(16);
		switch (op) {
		case 0: case 1: case 2:
			fd = open(a, O_RDWR | O_CREAT, 0600);
			rc = write(fd, "x", 1);
			break;
		case 3:
			rc = rename(a, b);
			break;
		case 4:
			rc = link(a, b);
			break;
		case 5:
			rc = unlink(a);
			break;
		case 6:
			rc = chmod(a, 0700 + pick(64));
			break;
		case 7:
			rc = symlink(b, a);
			break;
		case 8:
			fd = open(a, O_RDWR);
			rc = ftruncate(fd, pick(9000));
			break;
		case 9: {
			char *p = MAP_FAILED;
			fd = open(a, O_RDWR | O_NOATIME);
			if (fd >= 0 && !fstat(fd, &s) && s.st_size && S_ISREG(s.st_mode))
				p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			rc = p != MAP_FAILED;
			if (rc) {
				*p ^= 1;
				msync(p, 4096, MS_SYNC);
				munmap(p, 4096);
			}
			break;
		}
		case 10:
			ts[pick(2)].tv_nsec = pick(2) ? UTIME_NOW : UTIME_OMIT;
			rc = utimensat(AT_FDCWD, a, ts, pick(2) ? AT_SYMLINK_NOFOLLOW : 0);
			break;
		case 11:
			rc = utimensat(AT_FDCWD, a, ts, AT_SYMLINK_NOFOLLOW);
			break;
		case 12:
			rc = pick(2) ? utimes(a, tv) : utime(a, &u);
			break;
		case 13: /* as cp -p does */
			rc = stat(a, &s);
			if (!rc) {
				ts[0] = s.st_atim;
				ts[1] = s.st_mtim;
				fd = open(b, O_RDWR | O_CREAT, 0600);
				rc = futimens(fd, ts);
				if (!rc && fstat(fd, &s) == 0 && (s.st_mtim.tv_sec != ts[1].tv_sec || s.st_mtim.tv_nsec != ts[1].tv_nsec))
					rc = 99;
			}
			break;
		case 14: {
			int p[2];
			rc = pipe(p) || write(p[1], "x", 1) != 1 || fstat(p[0], &s);
			show("pipe", s.st_mtim);
			close(p[0]);
			close(p[1]);
			break;
		}
		case 15:
			rc = mkfifo(a, 0600);
			break;
		}
		if (fd >= 0)
			close(fd);
		printf("%u %s %s %d:", op, a, b, rc);
		look(a);
		look(b);
		look("d");
		look(".");
		printf("\n");
	}
	return 0;
}
