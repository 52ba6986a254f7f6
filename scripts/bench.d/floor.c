/* The floor of the start-up benchmark: what the kernel alone asks for a sandbox, and nothing else.
 * All namespaces, the host's system folders bound read-only below a new root, an own /proc, a
 * writable /build, pivot_root, exec. No seccomp, no landlock, no evidence, no checks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(125);
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(file);
	close(fd);
}

static void bind_read_only(const char *dir)
{
	char target[64];
	struct stat st;

	if (lstat(dir, &st) < 0)
		return;
	snprintf(target, sizeof target, "/tmp%s", dir);
	if (S_ISLNK(st.st_mode)) {
		char link[64] = { 0 };
		if (readlink(dir, link, sizeof link - 1) < 0 || symlink(link, target) < 0)
			die(dir);
		return;
	}
	if (mkdir(target, 0755) < 0 || mount(dir, target, NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		die(dir);
}

static int inside(char **argv)
{
	static const char *dirs[] = { "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc" };

	if (sethostname("floor", 5) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("root", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
		die("root");
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		bind_read_only(dirs[i]);
	if (mkdir("/tmp/proc", 0755) < 0 || mkdir("/tmp/build", 0755) < 0 || mkdir("/tmp/dev", 0755) < 0 ||
	    mount("proc", "/tmp/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		die("proc");
	close(open("/tmp/dev/null", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	if (mount("/dev/null", "/tmp/dev/null", NULL, MS_BIND, NULL) < 0)
		die("/dev/null");
	if (chdir("/tmp") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/build") < 0)
		die("pivot_root");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		execvp(argv[0], argv);
		die(argv[0]);
	}
	int status = 0;
	while (waitpid(-1, &status, 0) != child)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (argc < 2)
		return 2;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
		    CLONE_NEWCGROUP) < 0)
		die("unshare");
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "1000 %u 1", gid);
	put("/proc/self/gid_map", map);
	snprintf(map, sizeof map, "1000 %u 1", uid);
	put("/proc/self/uid_map", map);
	pid_t init = fork();
	if (init < 0)
		die("fork");
	if (init == 0)
		_exit(inside(argv + 1));
	int status = 0;
	if (waitpid(init, &status, 0) != init)
		die("wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
