// Makes and uses System V objects and prints `name seconds` of each stamp; 0 stays what it is.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static int failed;

static void show(const char *name, long seconds) { printf("%s %ld\n", name, seconds); }

static void check(int ok, const char *what)
{
	if (!ok) {
		printf("failed %s %s\n", what, strerror(errno));
		failed = 1;
	}
}

int main(void)
{
	int shm = shmget(IPC_PRIVATE, 4096, 0600);
	struct shmid_ds segment = {0};
	check(shmctl(shm, IPC_STAT, &segment) == 0 && segment.shm_segsz == 4096, "shmctl");
	show("shm-ctime", segment.shm_ctime);
	show("never-shm-atime", segment.shm_atime);
	check(shmat(shm, 0, 0) != (void *)-1, "shmat");
	// By its place in the kernel's table, as ipcs does; it answers with the id.
	struct shm_info info;
	int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info), found = 0;
	for (int i = 0; i <= last; i++)
		if (shmctl(i, SHM_STAT, &segment) == shm)
			found = 1;
	check(found, "SHM_STAT");
	check(shmctl(shm, IPC_STAT, &segment) == 0, "shmctl");
	show("shm-atime", segment.shm_atime);
	check(shmctl(shm, IPC_RMID, 0) == 0, "IPC_RMID");
	check(shmctl(-1, IPC_STAT, &segment) == -1 && errno == EINVAL, "a wrong id");

	int sem = semget(IPC_PRIVATE, 1, 0600);
	struct semid_ds set = {0};
	struct sembuf up = {0, 1, 0};
	check(semctl(sem, 0, IPC_STAT, &set) == 0 && set.sem_nsems == 1, "semctl");
	show("never-sem-otime", set.sem_otime);
	check(semop(sem, &up, 1) == 0 && semctl(sem, 0, IPC_STAT, &set) == 0, "semop");
	show("sem-otime", set.sem_otime);
	show("sem-ctime", set.sem_ctime);
	check(semctl(sem, 0, GETVAL) == 1, "GETVAL");
	check(semctl(sem, 0, IPC_STAT, (void *)8) == -1 && errno == EFAULT, "nowhere");
	semctl(sem, 0, IPC_RMID);

	int queue = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds mail = {0};
	struct { long type; char text[8]; } message = {1, "text"};
	check(msgsnd(queue, &message, 5, 0) == 0 && msgctl(queue, IPC_STAT, &mail) == 0 && mail.msg_qnum == 1, "msgctl");
	show("msg-stime", mail.msg_stime);
	show("msg-ctime", mail.msg_ctime);
	show("never-msg-rtime", mail.msg_rtime);
	check(msgrcv(queue, &message, 8, 0, 0) == 5 && msgctl(queue, IPC_STAT, &mail) == 0, "msgrcv");
	show("msg-rtime", mail.msg_rtime);
	msgctl(queue, IPC_RMID, 0);
	return failed;
}
