/**
 * Constants of the kernel's user API that the codec uses, in the kernel's own spelling. Each block names the header
 * it is read from; values are stable ABI. Nothing else may stand here: no layout, no logic.
 */

// linux/socket.h, asm-generic/socket.h, linux/netlink.h
export const AF_UNSPEC = 0;
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const NETLINK_ROUTE = 0;
export const SOL_SOCKET = 1;
export const SO_RCVTIMEO = 20;
export const SOL_NETLINK = 270;
export const NETLINK_CAP_ACK = 10;
export const NETLINK_EXT_ACK = 11;
export const MSG_TRUNC = 0x20;

// linux/sched.h
export const CLONE_NEWNET = 0x40000000;

// linux/netlink.h: flags of a message
export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
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
export const IFLA_LINKINFO = 18;
export const IFLA_IFALIAS = 20;
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

// linux/if_link.h: inside IFLA_INFO_DATA of kind vlan
export const IFLA_VLAN_ID = 1;

// linux/capability.h: numbers of bits
export const CAP_NET_ADMIN = 12;
export const CAP_SYS_ADMIN = 21;
