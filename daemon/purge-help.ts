/** Help text of `lanius purge`; docs/cli.md and its manual page are made of it. */
export const PURGE_HELP = `Usage: lanius purge [OPTIONS]

Takes Lanius away from this host, with all that it has left there: stops and disables its units; removes its links, VLANs,
bridges and what it has pinned in the kernel; frees what this host has in etcd, and its registration; removes its records,
the data of the etcd that the daemon runs itself, and /etc/lanius/config.json. First it lists all of that and asks.
What a cluster shares (pools, reservations, other hosts) stays there.

It refuses while networks of Lanius, or with addresses of Lanius, exist or their containers run: remove them first. Where the
engine does not answer, its records tell which. It can be said again after it was broken off. The program itself is removed by the package manager afterwards.

Options:
  --dry-run              Only list what would be removed
  -y, --yes              Do not ask
  --force                Also while networks exist or containers run. These keep their links, but their addresses are free
                         for others; and also while etcd does not answer
  --config FILE          The configuration of the daemon, if it is not /etc/lanius/config.json
  -o, --output FORMAT    table or json (default table)
  -h, --help             Print this help

Exit status: 0, 1 if something failed or was refused, 2 if the command line is wrong.
`;
