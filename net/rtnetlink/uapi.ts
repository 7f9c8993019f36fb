/**
 * Constants of the kernel's user API that the codec uses, in the kernel's own spelling. Each block names the header
 * it is read from; values are stable ABI. Nothing else may stand here: no layout, no logic.
 */

// linux/socket.h, asm-generic/socket.h, linux/netlink.h
export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const NETLINK_ROUTE = 0;
export const SOL_SOCKET = 1;
export const SO_RCVTIMEO = 20;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SOL_NETLINK = 270;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;

// linux/sched.h
export const CLONE_NEWNET = 0x40000000;

// linux/netlink.h: flags of a message
export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** On NLMSG_ERROR: the request's payload is left out. */
export const NLM_F_CAPPED = 0x100;
/** On NLMSG_ERROR: attributes NLMSGERR_ATTR_* follow. */
export const NLM_F_ACK_TLVS = 0x200;

// linux/netlink.h: control messages and attributes
export const NLMSG_ERROR = 0x2;
export const NLMSG_DONE = 0x3;
export const NLMSGERR_ATTR_MSG = 1;
export const NLA_F_NESTED = 0x8000;
export const NLA_TYPE_MASK = 0x3fff;

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_GETNEIGHTBL = 66;
export const RTM_SETNEIGHTBL = 67;
/** In IFLA_EXT_MASK: leave statistics out of the answer. */
export const RTEXT_FILTER_SKIP_STATS = 1 << 3;

// linux/if.h
export const IFNAMSIZ = 16;
export const IFALIASZ = 256;
export const IFF_UP = 0x1;
export const IFF_LOWER_UP = 0x10000;

// linux/if_link.h: IFLA_*
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5;
/** The bridge (or bond …) that the link is a port of; 0 = none. */
export const IFLA_MASTER = 10;
export const IFLA_TXQLEN = 13;
export const IFLA_LINKINFO = 18;
export const IFLA_IFALIAS = 20;
export const IFLA_STATS64 = 23;
export const IFLA_AF_SPEC = 26;
export const IFLA_NET_NS_FD = 28;
export const IFLA_EXT_MASK = 29;
/** Present if IFLA_LINK is an index of another namespace. */
export const IFLA_LINK_NETNSID = 37;

// linux/if_link.h: inside IFLA_LINKINFO
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;

// linux/if_link.h: inside IFLA_INFO_DATA of kind macvlan, and its modes
export const IFLA_MACVLAN_MODE = 1;
export const MACVLAN_MODE_PRIVATE = 1;
export const MACVLAN_MODE_VEPA = 2;
export const MACVLAN_MODE_BRIDGE = 4;
export const MACVLAN_MODE_PASSTHRU = 8;

// linux/if_link.h: inside IFLA_INFO_DATA of kind bridge; times in hundredths of a second
export const IFLA_BR_FORWARD_DELAY = 1;
export const IFLA_BR_STP_STATE = 5;

// linux/veth.h: inside IFLA_INFO_DATA of kind veth: an ifinfomsg with attributes, the other end
export const VETH_INFO_PEER = 1;

// linux/if_link.h: inside IFLA_AF_SPEC, AF_INET; linux/ip.h: what stands in it, by number
export const IFLA_INET_CONF = 1;
export const IPV4_DEVCONF_RP_FILTER = 8;
export const IPV4_DEVCONF_ARPFILTER = 13;

// linux/if_link.h: inside IFLA_AF_SPEC, AF_INET6
export const IFLA_INET6_ADDR_GEN_MODE = 8;
export const IN6_ADDR_GEN_MODE_NONE = 1;

// linux/if_link.h: inside IFLA_INFO_DATA of kind vlan
export const IFLA_VLAN_ID = 1;
/** Big-endian. */
export const IFLA_VLAN_PROTOCOL = 5;

// linux/if_link.h: inside IFLA_INFO_DATA of kind ipvlan, and its modes
export const IFLA_IPVLAN_MODE = 1;
export const IPVLAN_MODE_L2 = 0;

// linux/if_ether.h
export const ETH_P_8021AD = 0x88a8;

// linux/capability.h: numbers of bits
export const CAP_NET_ADMIN = 12;
export const CAP_SYS_ADMIN = 21;

// linux/neighbour.h: NDA_*, NUD_*, NDTA_*
export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NDA_IFINDEX = 8;
export const NDA_PROTOCOL = 12;
export const NUD_PERMANENT = 0x80;
export const NDTA_NAME = 1;
export const NDTA_THRESH1 = 2;
export const NDTA_THRESH2 = 3;
export const NDTA_THRESH3 = 4;

// poll.h, sys/eventfd.h
export const POLLIN = 0x1;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;

// asm-generic/socket.h, linux/netlink.h: what a socket hears
export const SO_ATTACH_FILTER = 26;
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_LISTEN_ALL_NSID = 8;

// linux/rtnetlink.h: groups, and messages beside links
export const RTNLGRP_LINK = 1;
export const RTNLGRP_NEIGH = 3;
export const RTNLGRP_TC = 4;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTM_DELQDISC = 37;
export const RTM_DELTFILTER = 45;
export const RTM_NEWNSID = 88;
export const RTM_GETNSID = 90;

// linux/net_namespace.h
export const NETNSA_NSID = 1;
export const NETNSA_FD = 3;

// linux/if_link.h: on RTM_DELLINK of a link that was moved
export const IFLA_NEW_NETNSID = 45;
export const IFLA_NEW_IFINDEX = 49;

// linux/neighbour.h: an entry that is being deleted
export const NUD_FAILED = 0x20;

// linux/if_packet.h, linux/if_ether.h, linux/if_arp.h
export const AF_PACKET = 17;
export const SOL_PACKET = 263;
export const PACKET_QDISC_BYPASS = 20;
export const ETH_P_ALL = 0x0003;
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_IPV6 = 0x86dd;
export const ARPHRD_ETHER = 1;
export const ARPOP_REQUEST = 1;

// linux/if_addr.h: IFA_*, IFA_F_*
export const IFA_BROADCAST = 4;
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_LABEL = 3;
/** struct ifa_cacheinfo: preferred and valid lifetime in seconds, then two times. */
export const IFA_CACHEINFO = 6;
export const IFA_FLAGS = 8;
/** Who made it: IFAPROT_*; kernels before 5.18 do not say. */
export const IFA_PROTO = 11;
export const IFAPROT_KERNEL_RA = 2;
export const IFA_F_SECONDARY = 0x01;
/** IPv6: of SLAAC with privacy extensions; the same bit as IFA_F_SECONDARY. */
export const IFA_F_TEMPORARY = 0x01;
export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_PERMANENT = 0x80;
export const IFA_F_NOPREFIXROUTE = 0x200;
/** net/addrconf.h */
export const INFINITY_LIFE_TIME = 0xffffffff;

// linux/rtnetlink.h: routes
export const RTN_UNICAST = 1;
export const RTPROT_KERNEL = 2;
export const RTPROT_BOOT = 3;
export const RTPROT_STATIC = 4;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;
export const RT_TABLE_UNSPEC = 0;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
export const RTA_MULTIPATH = 9;
export const RTA_CACHEINFO = 12;
export const RTA_TABLE = 15;
export const RTA_VIA = 18;
export const RTA_ENCAP_TYPE = 21;
export const RTA_ENCAP = 22;
export const RTA_EXPIRES = 23;
export const RTA_PAD = 24;
export const RTA_UID = 25;
export const RTA_NH_ID = 30;
export const RTNH_F_PERVASIVE = 2;
export const RTNH_F_ONLINK = 4;
export const RTM_F_CLONED = 0x200;

// linux/rtnetlink.h, linux/pkt_sched.h: traffic control
export const RTM_NEWQDISC = 36;
export const RTM_GETQDISC = 38;
export const RTM_NEWTFILTER = 44;
export const RTM_GETTFILTER = 46;
export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
/** Handle of a clsact (or ingress) qdisc. */
export const TC_H_CLSACT_HANDLE = 0xffff_0000;
export const TC_H_CLSACT = 0xffff_fff1;
export const TC_H_CLSACT_INGRESS = 0xffff_fff2;
export const TC_H_CLSACT_EGRESS = 0xffff_fff3;

export const RTM_NEWTCLASS = 40;
export const RTM_DELTCLASS = 41;
export const RTM_GETTCLASS = 42;
export const TCA_STATS2 = 7;
export const TC_H_ROOT = 0xffff_ffff;

// linux/gen_stats.h: inside TCA_STATS2
export const TCA_STATS_BASIC = 1;
export const TCA_STATS_QUEUE = 3;
export const TCA_STATS_PKT64 = 8;

// linux/pkt_sched.h: struct tc_ratespec
/** The kernel computes the time of a packet by itself and needs no table. */
export const TC_LINKLAYER_ETHERNET = 1;

// linux/pkt_sched.h: inside TCA_OPTIONS of kind tbf
export const TCA_TBF_PARMS = 1;
export const TCA_TBF_RATE64 = 4;
export const TCA_TBF_PRATE64 = 5;
export const TCA_TBF_BURST = 6;
export const TCA_TBF_PBURST = 7;

// linux/pkt_sched.h: inside TCA_OPTIONS of kind htb
export const TC_HTB_PROTOVER = 3;
export const TCA_HTB_PARMS = 1;
export const TCA_HTB_INIT = 2;
export const TCA_HTB_RATE64 = 6;
export const TCA_HTB_CEIL64 = 7;

// linux/pkt_cls.h: inside TCA_OPTIONS of kind u32
export const TCA_U32_CLASSID = 1;
export const TCA_U32_HASH = 2;
export const TCA_U32_LINK = 3;
export const TCA_U32_DIVISOR = 4;
export const TCA_U32_SEL = 5;
export const TCA_U32_ACT = 7;
export const TC_U32_TERMINAL = 1;

// linux/pkt_cls.h: actions, and what becomes of the packet
export const TCA_ACT_KIND = 1;
export const TCA_ACT_OPTIONS = 2;
export const TC_ACT_UNSPEC = -1;
export const TC_ACT_SHOT = 2;
export const TC_ACT_STOLEN = 4;

// linux/tc_act/tc_mirred.h
export const TCA_MIRRED_PARMS = 2;
export const TCA_EGRESS_REDIR = 1;

// linux/pkt_cls.h: inside TCA_ACT_OPTIONS of kind police
export const TCA_POLICE_TBF = 1;
export const TCA_POLICE_RATE = 2;
export const TCA_POLICE_RESULT = 5;
export const TCA_POLICE_RATE64 = 8;

// linux/pkt_cls.h: inside TCA_OPTIONS of kind bpf
export const TCA_BPF_CLASSID = 3;
export const TCA_BPF_FD = 6;
export const TCA_BPF_NAME = 7;
export const TCA_BPF_FLAGS = 8;
export const TCA_BPF_ID = 11;
export const TCA_BPF_FLAG_ACT_DIRECT = 1;

// linux/bpf.h: commands, types and flags of bpf(2)
export const BPF_MAP_CREATE = 0;
export const BPF_MAP_LOOKUP_ELEM = 1;
export const BPF_MAP_UPDATE_ELEM = 2;
export const BPF_MAP_DELETE_ELEM = 3;
export const BPF_MAP_GET_NEXT_KEY = 4;
export const BPF_PROG_LOAD = 5;
export const BPF_OBJ_PIN = 6;
export const BPF_OBJ_GET = 7;
export const BPF_OBJ_GET_INFO_BY_FD = 15;
export const BPF_MAP_TYPE_HASH = 1;
export const BPF_MAP_TYPE_LPM_TRIE = 11;
export const BPF_F_NO_PREALLOC = 1;
export const BPF_PROG_TYPE_SCHED_CLS = 3;
export const BPF_OBJ_NAME_LEN = 16;
/** Opcode of a load of 64 bits, and the source register that makes it a map's descriptor. */
export const BPF_LD_IMM_64 = 0x18;
export const BPF_PSEUDO_MAP_FD = 1;

// linux/magic.h
export const BPF_FS_MAGIC = 0xcafe4a11;
