/*
 * The floor of `npm run bench -- neigh`: the least that writing PERMANENT neighbours over rtnetlink can take. One socket,
 * 64 KiB of messages for each system call, an acknowledgement for the last message of each only, nothing looked at twice.
 *
 * neigh-floor NAMESPACE LINK FIRST-ADDRESS COUNT
 * Prints the seconds from the opened socket to the last acknowledgement.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH_BYTES 65536

struct request {
	struct nlmsghdr header;
	struct ndmsg neighbour;
	struct rtattr address_head;
	unsigned int address;
	struct rtattr mac_head;
	unsigned char mac[8]; /* six, padded */
};

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void fill(struct request *request, int link, unsigned int address, int sequence)
{
	memset(request, 0, sizeof *request);
	request->header.nlmsg_len = sizeof *request;
	request->header.nlmsg_type = RTM_NEWNEIGH;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	request->header.nlmsg_seq = sequence;
	request->neighbour.ndm_family = AF_INET;
	request->neighbour.ndm_ifindex = link;
	request->neighbour.ndm_state = NUD_PERMANENT;
	request->address_head.rta_len = RTA_LENGTH(4);
	request->address_head.rta_type = NDA_DST;
	request->address = htonl(address);
	request->mac_head.rta_len = RTA_LENGTH(6);
	request->mac_head.rta_type = NDA_LLADDR;
	request->mac[0] = 0x02;
	request->mac[1] = 0x4c;
	memcpy(request->mac + 2, &request->address, 4);
}

static void acknowledged(int fd, unsigned int sequence)
{
	static char answer[65536];
	for (;;) {
		int length = recv(fd, answer, sizeof answer, 0);
		if (length < 0)
			fail("recv");
		for (struct nlmsghdr *header = (void *)answer; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type != NLMSG_ERROR)
				continue;
			errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
			if (errno != 0)
				fail("refused");
			if (header->nlmsg_seq == sequence)
				return;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "neigh-floor NAMESPACE LINK FIRST-ADDRESS COUNT\n");
		return 2;
	}
	int namespace = open(argv[1], O_RDONLY);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0)
		fail(argv[1]);
	int link = if_nametoindex(argv[2]);
	unsigned int first = ntohl(inet_addr(argv[3]));
	int count = atoi(argv[4]);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int most = BATCH_BYTES / sizeof(struct request);
	struct request *batch = calloc(most, sizeof *batch);
	if (link == 0 || fd < 0 || batch == NULL)
		fail(argv[2]);

	double start = now();
	for (int done = 0; done < count;) {
		int n = 0;
		for (; n < most && done < count; n++, done++)
			fill(batch + n, link, first + done, done + 1);
		batch[n - 1].header.nlmsg_flags |= NLM_F_ACK;
		if (sendto(fd, batch, n * sizeof *batch, 0, (void *)&kernel, sizeof kernel) < 0)
			fail("sendto");
		acknowledged(fd, done);
	}
	printf("%.6f\n", now() - start);
	return 0;
}
