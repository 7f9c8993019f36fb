/** Doctor's checks of the kernel: what it can do, what the daemon may do, and the parents of our networks. */
import type { KernelFeatures, NetPort } from '../net/port.ts';
import type { DoctorCheck, NetworkInfo } from '../plugin/wire/admin.ts';

/** Without macvlan nothing works; VLANs are said, because networks may want them; the others come with later features. */
export function checkKernel(features: KernelFeatures): DoctorCheck[] {
  const kinds = Object.entries(features.linkKinds);
  const { macvlan, vlan } = features.linkKinds;
  const missing = kinds.filter(([kind, can]) => kind !== 'vlan' && can !== true);
  if (macvlan !== true) {
    return [
      {
        check: 'kernel',
        status: 'fail',
        finding: `Linux ${features.kernelRelease} cannot make macvlan links: ${macvlan}`,
        remedy: 'modprobe macvlan, or use a kernel with CONFIG_MACVLAN',
      },
    ];
  }
  const without = missing.map(([kind]) => kind).join(', ');
  const vlans = vlan === true ? ' and VLAN sub-interfaces' : `, but no VLAN sub-interfaces: ${vlan}`;
  const finding = `Linux ${features.kernelRelease} makes macvlan links${vlans}`;
  return [
    {
      check: 'kernel',
      status: 'ok',
      finding: without === '' ? finding : `${finding}; not needed and not there: ${without}`,
    },
  ];
}

export function checkPrivileges(features: KernelFeatures): DoctorCheck[] {
  const missing = [
    ...(features.netAdmin ? [] : ['CAP_NET_ADMIN']),
    ...(features.sysAdmin ? [] : ['CAP_SYS_ADMIN']),
  ];
  if (missing.length === 0) {
    return [{ check: 'privileges', status: 'ok', finding: 'CAP_NET_ADMIN and CAP_SYS_ADMIN are held' }];
  }
  return [
    {
      check: 'privileges',
      status: 'fail',
      finding: `the daemon lacks ${missing.join(' and ')}`,
      remedy: 'run it as root with these capabilities, as systemd/lanius.service does',
    },
  ];
}

/** Each parent that a network of this host uses: is it there, up, and has it carrier? */
export async function checkParents(
  networks: readonly NetworkInfo[],
  net: Pick<NetPort, 'linkGet'>,
): Promise<DoctorCheck[]> {
  const parents = [...new Set(networks.map(({ parent }) => parent))].sort();
  if (parents.length === 0) {
    return [{ check: 'parents', status: 'ok', finding: 'no network of this host needs a parent' }];
  }
  return Promise.all(parents.map((parent) => checkParent(parent, net)));
}

async function checkParent(parent: string, net: Pick<NetPort, 'linkGet'>): Promise<DoctorCheck> {
  const check = `parent ${parent}`;
  const link = await net.linkGet(parent);
  if (link === undefined) {
    return {
      check,
      status: 'fail',
      finding: `there is no link ${parent}, but a network of this host needs it`,
      remedy: `create ${parent}, or remove the network`,
    };
  }
  if (!link.up) {
    return { check, status: 'fail', finding: `${parent} is down`, remedy: `ip link set ${parent} up` };
  }
  if (!link.carrier) {
    return {
      check,
      status: 'warn',
      finding: `${parent} has no carrier`,
      remedy: 'check the cable and the switch port',
    };
  }
  return { check, status: 'ok', finding: `${parent} is up with carrier, MTU ${link.mtuBytes}` };
}
