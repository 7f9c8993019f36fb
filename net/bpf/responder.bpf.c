// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The ARP responder: a tc program on the egress of a container's link. It answers ARP requests for planned addresses
 * on the spot, with the MAC that is a function of the address, so that no broadcast leaves. Everything else passes
 * untouched: other protocols, tagged frames, addresses that are not planned (gateway, physical hosts, strangers),
 * probes and announcements (RFC 5227: they must reach the others), replies, and what is malformed.
 *
 * One program and one set of maps serve all containers of a host; the filter's class id says which network the
 * container belongs to. Layouts are written a second time in responder-layout.ts.
 *
 * Built by scripts/build-bpf.sh into responder-program.ts; the loader puts the maps' descriptors where MAP() stands.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#define BIG_ENDIAN_16(value) ((__u16)((value) << 8 | (value) >> 8))

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*monotonic_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static long (*pull_data)(struct __sk_buff *skb, __u32 length) = (void *)BPF_FUNC_skb_pull_data;
static long (*redirect)(__u32 link_index, __u64 flags) = (void *)BPF_FUNC_redirect;

#define MAP(mark)                                     \
	({                                            \
		void *map;                            \
		asm volatile("%0 = " #mark " ll" : "=r"(map)); \
		map;                                  \
	})
#define NETWORKS MAP(0x4c410001)
#define ANSWERS MAP(0x4c410002)
#define LEASED MAP(0x4c410003)

/* In halves, because after the 14 bytes of the Ethernet header nothing is aligned to more. */
struct frame {
	__u16 to[3];
	__u16 from[3];
	__u16 ethertype;
	__u16 hardware;
	__u16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__u16 operation;
	__u16 sender_mac[3];
	__u16 sender_ip[2];
	__u16 target_mac[3];
	__u16 target_ip[2];
};
_Static_assert(sizeof(struct frame) == 42, "an ARP frame without padding");

struct network {
	__u8 id[32];
	__u8 digest[16];
	/* Only leased addresses are answered until then (CLOCK_MONOTONIC); 0: all planned ones always. */
	__u64 leased_until_ns;
};

struct answer_key {
	__u32 prefix_length;
	__u32 slot;
	__u16 ip[2];
};

/* The MAC is `head`, then the address XOR `xor`. */
struct answer {
	__u16 head;
	__u16 xor[2];
	__u16 unused;
};

struct leased_key {
	__u32 slot;
	__u16 ip_first;
	__u8 ip_third;
	__u8 unused;
};

/* Of the 256 addresses that share three bytes. */
struct leased {
	__u8 bits[32];
};

static __attribute__((always_inline)) int is_arp_request(const struct frame *f)
{
	return f->ethertype == BIG_ENDIAN_16(ETH_P_ARP) && f->hardware == BIG_ENDIAN_16(1) &&
	       f->protocol == BIG_ENDIAN_16(ETH_P_IP) && f->hardware_length == 6 && f->protocol_length == 4 &&
	       f->operation == BIG_ENDIAN_16(1) && !(f->sender_mac[0] & 1);
}

/* Somebody wants to know whether an address is free (no sender), or says that it is his. */
static __attribute__((always_inline)) int is_probe_or_announcement(const struct frame *f)
{
	return (f->sender_ip[0] == 0 && f->sender_ip[1] == 0) ||
	       (f->sender_ip[0] == f->target_ip[0] && f->sender_ip[1] == f->target_ip[1]);
}

__attribute__((section("tc"), used)) int lanius_arp(struct __sk_buff *skb)
{
	if (skb->protocol != BIG_ENDIAN_16(ETH_P_ARP) || skb->vlan_present)
		return TC_ACT_UNSPEC;
	struct frame *f = (void *)(long)skb->data;
	if ((void *)(f + 1) > (void *)(long)skb->data_end) {
		if (pull_data(skb, sizeof(*f)))
			return TC_ACT_UNSPEC;
		f = (void *)(long)skb->data;
		if ((void *)(f + 1) > (void *)(long)skb->data_end)
			return TC_ACT_UNSPEC;
	}
	if (!is_arp_request(f) || is_probe_or_announcement(f))
		return TC_ACT_UNSPEC;

	__u32 slot = skb->tc_classid;
	__u16 ip[2] = {f->target_ip[0], f->target_ip[1]};
	struct answer_key key = {.prefix_length = 64, .slot = slot, .ip = {ip[0], ip[1]}};
	const struct answer *answer = map_lookup(ANSWERS, &key);
	if (!answer)
		return TC_ACT_UNSPEC;

	const struct network *network = map_lookup(NETWORKS, &slot);
	if (network && network->leased_until_ns && monotonic_ns() < network->leased_until_ns) {
		struct leased_key chunk = {.slot = slot, .ip_first = ip[0], .ip_third = ip[1] & 0xff};
		const struct leased *leased = map_lookup(LEASED, &chunk);
		__u8 last = ip[1] >> 8;
		if (!leased || !(leased->bits[last >> 3] >> (last & 7) & 1))
			return TC_ACT_SHOT;
	}

	__u16 mac[3] = {answer->head, ip[0] ^ answer->xor[0], ip[1] ^ answer->xor[1]};
	f->operation = BIG_ENDIAN_16(2);
	for (int i = 0; i < 3; i++) {
		f->to[i] = f->target_mac[i] = f->sender_mac[i];
		f->from[i] = f->sender_mac[i] = mac[i];
	}
	for (int i = 0; i < 2; i++) {
		f->target_ip[i] = f->sender_ip[i];
		f->sender_ip[i] = ip[i];
	}
	return redirect(skb->ifindex, BPF_F_INGRESS);
}
